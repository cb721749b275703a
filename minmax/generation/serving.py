"""Serves the page of `cli.py explore` to its own visitors, and to nobody else."""

import os
import re
import socket
import warnings
from collections.abc import Callable, Iterable
from types import FrameType

import uvicorn
from fastapi import FastAPI
from nicegui import core, ui
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from minmax.errors import UserError

NAMES = ("127.0.0.1", "localhost", "[::1]")
KEPT_MESSAGES = 20
"""To a browser, in case that its connection breaks for a moment; a picture may be in each."""


def addresses_of(port: int, others: Iterable[str]) -> list[str]:
    """Where the page is found: `Host` headers, in small letters.

    Args:
        port: of the page.
        others: more of them, for browsers that reach it through a forwarded port.

    Raises:
        UserError: one of these is no `HOST:PORT`.
    """
    found = [f"{name}:{port}" for name in NAMES] + list(NAMES if port == 80 else ())
    for other in others:
        if not re.fullmatch(r"([\w.-]+|\[[0-9a-f:]+\]):\d+", other.lower()):
            raise UserError(f"--address {other} must be HOST:PORT, localhost:9000 say")
        found.append(other.lower())
    return found


class OwnVisitors:
    """Refuse what the page's own visitors don't send, before anything else sees it.

    Other pages in the same browser could ask for `http://127.0.0.1:8080` as well, or have their
    own name lead there (DNS rebinding). A browser says which name it asked for (`Host`), which
    page asks (`Origin`), and whether that is another site's (`Sec-Fetch-Site`). Starlette's
    `TrustedHostMiddleware` looks at the first alone, and not at its port.

    Args:
        app: what answers the others.
        addresses: of the page, `HOST:PORT` each.
    """

    def __init__(self, app: ASGIApp, addresses: Iterable[str]) -> None:
        self.app = app
        self.hosts = frozenset(addresses)
        self.origins = frozenset(f"http://{host}" for host in self.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or a web socket's, or refuse it."""
        answer = self.app
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            hosts = headers.getlist("host")
            if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
                known = ", ".join(sorted(self.hosts))
                answer = PlainTextResponse(f"This page is at {known} (explore --address)", 400)
            elif not self.origins.issuperset(headers.getlist("origin")) or (
                headers.get("sec-fetch-site") in ("cross-site", "same-site")
                and headers.get("sec-fetch-dest") != "document"  # a link may lead here
            ):
                answer = PlainTextResponse("This page answers to no other page", 403)
        await answer(scope, receive, send)


class Server(uvicorn.Server):
    """A server that ends at once when it is asked to: there is nothing to be saved."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End, whatever is drawn or connected just now, with a shell's exit code of the signal."""
        os._exit(128 + sig)


def serve(page: Callable[[], None], place: socket.socket, addresses: list[str]) -> None:
    """Serve a page until a signal comes.

    Args:
        page: NiceGUI calls it for each visitor.
        place: where it listens.
        addresses: see `OwnVisitors`.
    """
    app = FastAPI(openapi_url=None)
    ui.run_with(
        app,
        root=page,
        title="MinMax",
        message_history_length=KEPT_MESSAGES,
        show_welcome_message=False,
    )
    guarded = OwnVisitors(app, addresses)
    core.sio.eio.cors_allowed_origins = list(guarded.origins)  # NiceGUI's: any
    # NiceGUI looks for the server among all objects that there are, and so wakes them.
    warnings.filterwarnings("ignore", ".*reduce_op", FutureWarning)
    config = uvicorn.Config(guarded, log_level="warning", ws="wsproto")
    Server(config).run(sockets=[place])
