"""The page of `explore` with many visitors, foreign pages, and values out of range."""

import asyncio
import json
import os
import re
import signal
import time
from base64 import b64decode
from collections.abc import Iterator
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
import socketio
from PIL import Image

from tests.cli.processes import Command

VISITORS = 50
SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport="
# The command with an explorer that tells what it draws: one point, as bright as the seed says.
STAND_IN = """
import gc, signal, sys, time
from io import BytesIO
import torch
from nicegui import Client
from PIL import Image
from minmax.commands import explore
from minmax.generation import explorer

class Model:
    conditional, num_classes = True, 2

class Explorer:
    name, class_names, model = "stand-in", ["a", "b"], Model()
    directions, shares, styles = torch.eye(2), torch.ones(2) / 2, 0

    def __init__(self, *arguments): pass

    def png(self, choice):
        print("begins", choice, flush=True)
        time.sleep(0.02)
        content = BytesIO()
        Image.new("L", (1, 1), choice.seed).save(content, "PNG")
        print("ends", flush=True)
        return content.getvalue()

def tell(*_):
    gc.collect()
    choices = sum(type(held) is explorer.Choice for held in gc.get_objects())
    print("knows", choices, *Client.instances, flush=True)

explorer.Explorer = Explorer
signal.signal(signal.SIGUSR1, tell)
explore.main(["--checkpoint", "x", "--port", "0", "--no-browser", "--address", "localhost:9000"])
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[tuple[Command, int, Path]]:
    """The process, its port, and the file of what it prints."""
    script = tmp_path_factory.mktemp("page") / "stand_in.py"
    script.write_text(STAND_IN)
    process = Command([], dict(os.environ), str(script))
    try:
        while not (found := re.search(r"127.0.0.1:(\d+); Ctrl", process.output.read_text())):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        yield process, int(found[1]), process.output
    finally:
        process.kill()


def ask(port: int, path: str = "/", **headers: str) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={n.replace("_", "-"): v for n, v in headers.items()})
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}


def test_only_its_own_visitors_are_answered(page):
    _, port, _ = page
    hosts = (f"127.0.0.1:{port}", f"LocalHost:{port}", f"[::1]:{port}", "localhost:9000")
    for host in hosts:
        assert ask(port, Host=host, Origin=f"http://{host.lower()}")[0] == 200
    strange = ("evil.example", f"evil.example:{port}", "localhost", f"127.0.0.1:{port + 1}", "")
    static = f"/_nicegui/{__import__('nicegui').__version__}/static/nicegui.js"
    for path in ("/", static, f"{SOCKET}polling", "/anything"):
        assert ask(port, path)[0] == 200
        for host in strange:
            assert ask(port, path, Host=host)[0] == 400
        for origin in ("http://evil.example", "null", f"http://localhost:{port + 1}"):
            status, headers = ask(port, path, Origin=origin)
            assert status == 403
            assert not [name for name in headers if name.startswith("access-control")]
        status, _ = ask(port, path, Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="iframe")
        assert status == 403
    assert ask(port, Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="document")[0] == 200

    async def connect(**headers: str) -> int:
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}{SOCKET}websocket"
            try:
                async with session.ws_connect(url, headers=headers):
                    return 101
            except aiohttp.WSServerHandshakeError as error:
                return error.status

    assert asyncio.run(connect(Origin=f"http://127.0.0.1:{port}")) == 101
    assert asyncio.run(connect(Origin="http://evil.example")) == 403
    assert asyncio.run(connect(Host=f"evil.example:{port}")) == 400


class Visitor:
    """A browser, as the server sees it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.picture = b""
        self.socket = socketio.AsyncClient()
        self.socket.on("update", self.see)

    async def come(self) -> None:
        async with aiohttp.ClientSession() as session, session.get(self.url) as answer:
            text = await answer.text()
        self.name = re.search(r"'client_id': '(.*?)'", text)[1]
        self.elements = json.loads(re.search(r"parseElements\(String.raw`(.*?)`\)", text, re.S)[1])
        query = f"client_id={self.name}&next_message_id=0&implicit_handshake=true"
        query += f"&tab_id={self.name}&document_id={self.name}"
        path = SOCKET.partition("?")[0]
        await self.socket.connect(f"{self.url}?{query}", socketio_path=path)

    async def see(self, update: dict) -> None:
        for element in update.values():
            source = isinstance(element, dict) and element.get("props", {}).get("src")
            if source:
                self.picture = b64decode(source.partition(",")[2])

    async def choose(self, label: str, value: object) -> None:
        for number, element in self.elements.items():
            props = element.get("props", {})
            if label in (props.get("label"), props.get("aria-label")):
                event = next(e for e in element["events"] if e["type"] == "update:modelValue")
                message = {"id": int(number), "client_id": self.name, "args": [json.dumps(value)]}
                await self.socket.emit("event", message | {"listener_id": event["listener_id"]})
                return
        pytest.fail(f"the page has no {label}")


async def crowd(port: int) -> tuple[float, list[int], list[Visitor]]:
    """All make many choices at once, and half of them leave; the slowest answer, the pictures."""
    visitors = [Visitor(port) for _ in range(VISITORS)]
    await asyncio.gather(*(visitor.come() for visitor in visitors))
    for number, visitor in enumerate(visitors):
        for label, values in {
            "images": [10**9, 257, 0, -1, "7", None, [5], {"value": 3}, 12],
            "way to the other seed": [1.5, -0.1, 1e300, "1"],
            "direction 1, 50.0% of the variance": [4.1, -1e9, "x", 2],
            "class": [{"value": 7}, {"value": -2}, {"value": 1}],
            "seed": [-1, 2**40, *range(200 - number, 201)],
        }.items():
            for value in values:
                await visitor.choose(label, value)
    slowest = 0.0
    for visitor in visitors[::2]:
        await visitor.socket.disconnect()
        start = time.perf_counter()
        async with aiohttp.ClientSession() as session, session.get(visitor.url) as answer:
            assert answer.status == 200
        slowest = max(slowest, time.perf_counter() - start)
    end, pictures = time.monotonic() + 60, [0]
    while time.monotonic() < end and set(pictures) != {200}:
        await asyncio.sleep(0.1)
        contents = [visitor.picture for visitor in visitors[1::2]]
        pictures = [Image.open(BytesIO(c)).getpixel((0, 0)) if c else 0 for c in contents]
    return slowest, pictures, visitors


def test_many_visitors(page):
    """They don't wait for each other's pictures, and the process can end at once."""
    process, port, output = page

    async def visit() -> None:
        slowest, pictures, visitors = await crowd(port)
        assert slowest < 2
        assert pictures == [200] * (VISITORS // 2), "of the newest seed each"
        drawn = [line for line in output.read_text().splitlines() if line[:4] in ("begi", "ends")]
        assert [line[:4] for line in drawn] == ["begi", "ends"] * (len(drawn) // 2), "one by one"
        assert len(drawn) // 2 < 10 * VISITORS, "what was overtaken is not drawn"
        for line in drawn[::2]:
            assert re.search(
                r"count=(16|7|12), .* way=0.0, label=(-1|0), along=\[(0.0|2), 0.0\]", line
            )
        left = {visitor.name for visitor in visitors[::2]}
        known, choices = left, 0
        end = time.monotonic() + 30
        while left & set(known) and time.monotonic() < end:
            await asyncio.sleep(4)  # NiceGUI waits for 3 seconds: they might come back
            process.send_signal(signal.SIGUSR1)
            await asyncio.sleep(1)
            told = re.findall("^knows (.*)$", output.read_text(), re.M)
            choices, *known = told[-1].split() if told else (0, *known)
        assert not left & set(known)
        assert int(choices) <= len(known), "what those chose who left is forgotten"
        before = len(output.read_text())
        await visitors[1].choose("seed", 0)
        process.send_signal(signal.SIGINT)
        start = time.perf_counter()
        assert process.wait(timeout=10) == 128 + signal.SIGINT
        assert time.perf_counter() - start < 1
        assert "Traceback" not in output.read_text()[before:]

    asyncio.run(visit())
