"""Directions against a closed form; the page in a real browser, where there is one."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from base64 import b64decode
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image
from selenium import webdriver
from torch import nn

import cli
from gan_modules import ACGAN
from gan_modules.networks import BigGANGenerator, Generator, R1ResNetGenerator, R3GANGenerator
from minmax.generation.directions import principal_directions
from minmax.generation.explorer import Choice, Explorer
from tests.gan_modules.helpers import make_model

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CONDITIONAL = {"conditional": True}
DRIVER = shutil.which("chromedriver")


class LinearFirst(Generator):
    """A generator whose first layer scales some latents, and then applies a squashing function."""

    def __init__(self, latent_dim: int, channels: int, image_size: int, classes: int) -> None:
        super().__init__(image_size)
        self.first = nn.Linear(latent_dim, 40)

    def forward(self, latent: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        return self.first(latent).tanh().view(-1, 1, 5, 8)


@pytest.mark.parametrize("ema", [0, 100])
def test_directions_of_a_linear_layer_are_its_right_singular_vectors(ema):
    model = make_model(generator=LinearFirst, latent_dim=6, ema_half_life_images=ema)
    left, _ = torch.linalg.qr(torch.randn(40, 6))
    right, _ = torch.linalg.qr(torch.randn(6, 6))
    scales = torch.tensor([9.0, 6.0, 4.0, 2.0, 1.0, 0.5])
    network = model.generator_ema if ema else model.generator
    network.first.weight.data = left @ scales.diag() @ right.T
    directions, shares = principal_directions(model, 4)
    cosines = (directions * right.T[:4]).sum(dim=1).abs()
    assert (cosines > 0.99).all(), cosines  # of 2,048 latents, whose sample is not quite round
    expected = scales.square()[:4] / scales.square().sum()
    torch.testing.assert_close(shares, expected, rtol=0.1, atol=0)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(4))


class Ending(LinearFirst):
    """A generator that draws no images: 2,048 of 256 pixels at once would fill the memory."""

    def forward(self, latent: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        raise AssertionError(f"draws {len(super().forward(latent, classes))} images")


def test_directions_draw_no_images():
    directions, _ = principal_directions(make_model(generator=Ending, latent_dim=6), 2)
    assert directions.shape == (2, 6)


def test_directions_of_a_class_conditional_generator():
    directions, shares = principal_directions(make_model(ACGAN), 3)
    assert directions.shape == (3, make_model(ACGAN).latent_dim)
    assert 0 < shares.sum() < 1.001


@pytest.mark.parametrize("network", [BigGANGenerator, R3GANGenerator, R1ResNetGenerator])
def test_directions_begin_behind_a_table_of_classes(network):
    generator = partial(network, width=8, **{} if network is BigGANGenerator else CONDITIONAL)
    model = make_model(generator=generator, image_size=32, latent_dim=20)
    directions, shares = principal_directions(model, 3)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(3))
    assert 0 < shares.sum() < 1.001


def test_images_of_choices(trained):
    explorer = Explorer(str(trained / "checkpoints" / "last.ckpt"), 2)

    def images(**choice: object) -> torch.Tensor:
        with Image.open(BytesIO(explorer.png(Choice(**choice)))) as image:
            return torch.tensor(list(image.getdata())).view(image.height, image.width)

    first, other = images(), images(seed=1)
    assert first.shape == (4 * 34 + 2, 4 * 34 + 2)
    assert torch.equal(images(), first)
    assert (images(way=1.0) - other).abs().max() <= 1
    assert (images(way=0.5) - first).abs().max() > 10
    assert torch.equal(images(along=[0.0, 0.0]), first)
    assert (images(along=[3.0]) - first).abs().max() > 2
    with pytest.raises(ValueError, match="--directions must lie between 1 and 100, got 101"):
        Explorer(str(trained / "checkpoints" / "last.ckpt"), 101)


def test_a_port_that_is_taken(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        with pytest.raises(SystemExit, match=rf"--port {port} can't be used .*: choose another"):
            cli.main(["explore", "--checkpoint", "x", "--port", port])


def test_a_port_whose_server_has_just_ended():
    with socket.socket() as listening, socket.socket() as visitor:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = str(listening.getsockname()[1])
        visitor.connect(("127.0.0.1", int(port)))
        listening.accept()[0].close()
    with pytest.raises(SystemExit, match="there is no checkpoint at x"):
        cli.main(["explore", "--checkpoint", "x", "--port", port])


def test_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "nicegui", None)
    with pytest.raises(SystemExit, match=re.escape('pip install ".[explore]"')):
        cli.main(["explore", "--checkpoint", "x"])


def test_ctrl_c_before_the_page_is_there(monkeypatch):
    def interrupted(arguments: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("minmax.commands.explore.main", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main(["explore"])
    assert ended.value.code == 130


@pytest.mark.parametrize("address", ["evil", "http://localhost:9000", "a b:1", "localhost:"])
def test_an_address_that_is_none(address, trained):
    options = ["--checkpoint", str(trained / "checkpoints" / "last.ckpt"), "--port", "0"]
    with pytest.raises(SystemExit, match=f"--address {address} must be HOST:PORT"):
        cli.main(["explore", *options, "--address", address])


@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium and ChromeDriver here")
def test_in_a_browser(trained, tmp_path):
    """Moving a slider or typing a seed changes the picture, which can be downloaded."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    arguments = ["--checkpoint", str(trained / "checkpoints" / "last.ckpt"), "--port", port]
    command = [sys.executable, str(Path(cli.__file__)), "explore", *arguments, "--no-browser"]
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{switch}")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})

    def wait_for(condition: object) -> object:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(0.1)
        pytest.fail("waited for 60 s")

    # With this NiceGUI would take the page for a test of its own.
    environment = {n: value for n, value in os.environ.items() if n != "PYTEST_CURRENT_TEST"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert "The page is at" in server.stdout.readline()
            browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
            try:
                wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", int(port))) == 0)
                browser.get_log("performance")  # of Chromium's own first page
                browser.get(f"http://127.0.0.1:{port}")

                def picture() -> str:
                    # In one step: an element that was found may be replaced before it is asked.
                    return browser.execute_script(
                        "return [...document.querySelectorAll('.q-img img')].at(-1)?.src ?? ''"
                    )

                first = wait_for(picture)
                assert Image.open(BytesIO(b64decode(first.partition(",")[2]))).size == (138, 138)
                handle = browser.find_element("css selector", '[aria-label^="direction 1"]')
                webdriver.ActionChains(browser).drag_and_drop_by_offset(handle, 60, 0).perform()
                moved = wait_for(lambda: picture() != first and picture())
                buttons = browser.find_elements("css selector", "button")
                {button.text.lower(): button for button in buttons}["reset"].click()
                wait_for(lambda: picture() == first)
                seed = browser.find_element("css selector", 'input[aria-label="seed"]')
                seed.send_keys("7")
                wait_for(lambda: picture() not in (first, moved))
                {button.text.lower(): button for button in buttons}["download"].click()
                file = tmp_path / "images.png"
                wait_for(file.is_file)
                assert file.read_bytes() == b64decode(picture().partition(",")[2])
                messages = " ".join(entry["message"] for entry in browser.get_log("performance"))
                hosts = set(re.findall(r'"url":"https?://([^/:"]+)', messages.replace("\\", "")))
                assert hosts == {"127.0.0.1"}, "the page needs no other machine"
            finally:
                browser.quit()
            server.terminate()
            assert server.wait(timeout=1) == 128 + signal.SIGTERM
        finally:
            server.kill()
