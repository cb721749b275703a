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
"""Messages kept for a browser whose connection breaks; each may hold a picture."""


def addresses_of(port: int, others: Iterable[str]) -> list[str]:
    """The page's addresses as `Host` headers give them, in lower case.

    Args:
        port: of the page.
        others: more addresses, for browsers that use a forwarded port.

    Raises:
        UserError: an address is not `HOST:PORT`.
    """
    found = [f"{name}:{port}" for name in NAMES] + list(NAMES if port == 80 else ())
    for other in others:
        if not re.fullmatch(r"([\w.-]+|\[[0-9a-f:]+\]):\d+", other.lower()):
            raise UserError(f"--address {other} must be HOST:PORT, localhost:9000 say")
        found.append(other.lower())
    return found


class OwnVisitors:
    """Refuses requests that don't come from the page itself, before the app sees them.

    Other pages in the same browser could request `http://127.0.0.1:8080` too, or point their
    own name there (DNS rebinding). A browser sends the requested name (`Host`), the requesting
    page (`Origin`), and whether it belongs to another site (`Sec-Fetch-Site`). Starlette's
    `TrustedHostMiddleware` checks only `Host`, without its port.

    Args:
        app: answers the accepted requests.
        addresses: of the page, `HOST:PORT` each.
    """

    def __init__(self, app: ASGIApp, addresses: Iterable[str]) -> None:
        self.app = app
        self.hosts = frozenset(addresses)
        self.origins = frozenset(f"http://{host}" for host in self.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse a request of HTTP or of a web socket."""
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
    """A server that ends at once on a signal: there is nothing to save."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End, even while it draws or serves, with the exit code 128 + signal."""
        os._exit(128 + sig)


def serve(page: Callable[[], None], place: socket.socket, addresses: list[str]) -> None:
    """Serve a page until a signal comes.

    Args:
        page: NiceGUI calls it for each visitor.
        place: the listening socket.
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
    core.sio.eio.cors_allowed_origins = list(guarded.origins)  # NiceGUI would allow any
    # NiceGUI searches all objects for the server, which triggers torch's deprecation warning.
    warnings.filterwarnings("ignore", ".*reduce_op", FutureWarning)
    config = uvicorn.Config(guarded, log_level="warning", ws="wsproto")
    Server(config).run(sockets=[place])
