"""`python cli.py explore`: a page in the browser, to move through what a generator has learned."""

import argparse
import socket
from collections.abc import Sequence

from minmax.admission import add_option

LOOPBACK = "127.0.0.1"


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = argparse.ArgumentParser(
        prog="cli.py explore", description=__doc__, allow_abbrev=False
    )
    options.add_argument("--checkpoint", required=True, help="a .ckpt file of a run")
    options.add_argument("--port", type=int, default=8080, help="of the page (default 8080)")
    options.add_argument("--directions", type=int, default=8, help="number of sliders (default 8)")
    options.add_argument("--no-browser", action="store_true", help="only say the page's address")
    add_option(options)
    chosen = options.parse_args(arguments)
    try:
        from nicegui import ui
    except ImportError as error:
        raise ValueError('explore needs NiceGUI: pip install ".[explore]"') from error
    with socket.socket() as free:
        # As the server does: connections of one that has just ended don't hold the port.
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind((LOOPBACK, chosen.port))
        except (OSError, OverflowError) as error:
            raise ValueError(
                f"--port {chosen.port} can't be used ({error}): choose another"
            ) from error
    from minmax.commands.explorer import Explorer, page_of

    page = page_of(Explorer(chosen.checkpoint, chosen.directions))
    print(f"The page is at http://{LOOPBACK}:{chosen.port}; Ctrl+C ends it.", flush=True)
    ui.run(
        page,
        host=LOOPBACK,
        port=chosen.port,
        title="MinMax",
        show=not chosen.no_browser,
        reload=False,
        show_welcome_message=False,
    )
