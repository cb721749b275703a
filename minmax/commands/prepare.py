"""`python cli.py prepare`: decode a data set once, for all later runs; list or delete such sets."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from minmax.admission import add_option
from minmax.errors import UserError, files_named

EPILOG = (
    "All other arguments name the data, as those of `cli.py fit` do: --data datamodules.ImageFolder"
    " --data.init_args.root FOLDER, or --config FILE, of which only the data is read."
)


@files_named()
def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = argparse.ArgumentParser(
        prog="cli.py prepare", description=__doc__, epilog=EPILOG, allow_abbrev=False
    )
    what = options.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="show the prepared sets")
    what.add_argument(
        "--check",
        nargs="*",
        metavar="NAME",
        help="read these sets, or all, and compare with their hashes",
    )
    what.add_argument("--delete", nargs="+", metavar="NAME", help="delete these sets")
    what.add_argument(
        "--shards", metavar="FOLDER", help="write the images to shards for datamodules.Streamed"
    )
    options.add_argument(
        "--folder", help="of the sets to list, check or delete; default: the cache"
    )
    add_option(options)
    chosen, data = options.parse_known_args(arguments)
    manages = chosen.list or chosen.check is not None or chosen.delete
    if manages and data:
        raise UserError(f"{data[0]} can't be given with --list, --check or --delete")
    if not manages and chosen.folder:
        raise UserError(
            "--folder is for --list, --check and --delete: to make a set in a folder, "
            "give --data.init_args.prepared"
        )
    if manages:
        manage(chosen)
        return
    # This import takes seconds, so wrong options are refused first.
    from minmax.training.of_data import prepare, shard

    lines = shard(data, Path(chosen.shards).expanduser()) if chosen.shards else prepare(data)
    for line in lines:
        print(line)


def manage(chosen: argparse.Namespace) -> None:
    """List, check or delete sets.

    Raises:
        UserError: a set is damaged, unknown, or being made.
    """
    from datamodules.kept_sets import chosen as named
    from datamodules.kept_sets import kept_sets
    from datamodules.wanted import home_of_sets

    home = Path(home_of_sets(chosen.folder))
    sets = kept_sets(home)
    if chosen.delete:
        for kept in named(sets, chosen.delete, home):
            size = kept.bytes
            kept.delete()
            print(f"Deleted {kept.folder}: {size / 1e6:,.1f} MB")
        return
    if chosen.list:
        for kept in sets:
            print(kept)
        total = sum(kept.bytes for kept in sets)
        print(f"{len(sets)} prepared set(s), {total / 1e6:,.1f} MB, in {home}")
        return
    damaged = []
    for kept in named(sets, chosen.check, home):
        wrong = kept.check()
        print(f"{kept.folder.name}  {wrong or 'is whole'}")
        damaged += [kept.folder.name] if wrong else []
    if damaged:
        raise UserError(
            f"{len(damaged)} set(s) in {home} can't be used: `prepare --delete "
            f"{' '.join(damaged)}` removes them; the next start makes what it needs"
        )
