"""`python cli.py explore`: a page in the browser, to move through what a generator has learned."""

import argparse
import socket
import threading
import webbrowser
from collections.abc import Sequence

from minmax.admission import add_option
from minmax.errors import UserError

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
    options.add_argument(
        "--address",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="where a browser finds the page as well: localhost:9000 after ssh -L "
        "9000:localhost:8080 (with the same port at both ends there is no need to say so)",
    )
    add_option(options)
    chosen = options.parse_args(arguments)
    try:
        import nicegui  # noqa: F401
    except ImportError as error:
        raise UserError('explore needs NiceGUI: pip install ".[explore]"') from error
    with socket.socket() as place:
        # Otherwise connections of a server that has just ended would block the port.
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind((LOOPBACK, chosen.port))
            place.listen()  # before the model is read, so that nobody else takes the port
        except (OSError, OverflowError) as error:
            raise UserError(
                f"--port {chosen.port} can't be used ({error}): choose another"
            ) from error
        from minmax.generation.serving import addresses_of, serve

        port = place.getsockname()[1]
        addresses = addresses_of(port, chosen.address)
        # These imports take seconds, so wrong options are refused first.
        from minmax.generation.explorer import Explorer
        from minmax.generation.explorer_page import page_of

        page = page_of(Explorer(chosen.checkpoint, chosen.directions))
        address = f"http://{LOOPBACK}:{port}"
        print(f"The page is at {address}; Ctrl+C ends it.", flush=True)
        if not chosen.no_browser:  # in a thread: `open` waits for some browsers to end
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
        serve(page, place, addresses)
