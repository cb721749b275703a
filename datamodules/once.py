"""Reading each real file once, however many paths it has."""

from collections.abc import Mapping
from pathlib import Path

from datamodules.leftovers import LeftOut
from datamodules.searching import MET, Found, Identity
from minmax.errors import UserError

Group = tuple[Path, int]
"""A split's folder, and the number of a class."""


def each_once(groups: Mapping[Group, list[Found]], left_out: LeftOut) -> dict[Group, list[Found]]:
    """The groups without links to files that a group holds already.

    Raises:
        UserError: two groups hold the same file, both by a link or both without.
    """
    identities = [file.identity for files in groups.values() for file in files]
    if len({*identities}) == len(identities):
        return dict(groups)
    owners: dict[Identity, tuple[Group, Found]] = {}
    dropped = set[tuple[Group, str]]()
    # Files before links to them, so that a file keeps its own path and class.
    for by_link in (False, True):
        for group, files in groups.items():
            for file in files:
                if file.linked is not by_link or file.identity is None:
                    continue
                owner, first = owners.setdefault(file.identity, (group, file))
                if first is file:
                    continue
                if owner != group and first.linked is file.linked:
                    raise UserError(
                        "`root` leads to one file in two ways, "
                        f"{owner[0] / first.path} and {group[0] / file.path}: an image is in one "
                        "class, and either trained on or held out. Delete one of the two."
                    )
                dropped.add((group, file.path))
                left_out.add(MET, str(group[0] / file.path))
    return {
        group: [file for file in files if (group, file.path) not in dropped]
        for group, files in groups.items()
    }
