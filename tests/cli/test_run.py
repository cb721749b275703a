"""The files of a training, and the other commands that use them."""

import errno
import os
import re
import shutil
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.multiprocessing.spawn import start_processes

import cli
from datamodules import Digits
from minmax.generation import drawing, writing
from tests.cli.processes import FORKED

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.fixture(scope="module")
def events(trained):
    accumulator = EventAccumulator(str(trained), size_guidance={"images": 0})
    return accumulator.Reload()


def test_the_run_folder_holds_everything(trained):
    names = {path.name for path in trained.iterdir() if not path.name.startswith("events")}
    assert names == {"checkpoints", "pictures", "config.yaml", "hparams.yaml"}
    checkpoints = {path.name for path in (trained / "checkpoints").iterdir()}
    assert checkpoints == {"last.ckpt", "previous.ckpt", "best.ckpt"}
    pictures = {path.name for path in (trained / "pictures").iterdir()}
    # 25 batches of 64 an epoch: 1,000 images are passed at the 16th batch, 2,000 at the 32nd.
    schedule = {"fake_000000000.png", "fake_000001024.png", "fake_000002048.png"}
    last = {"fake_000003008.png", "fake_last.png", "interpolation.png", "real.png"}
    assert pictures == schedule | last


def test_checkpoints_load_without_pickled_code(trained):
    for name in ("last", "best"):
        checkpoint = torch.load(trained / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert checkpoint["images_seen"] in (1600, 3200)
        assert checkpoint["global_step"] * 64 == checkpoint["images_seen"]
        assert {key.split(".")[0] for key in checkpoint["state_dict"]} == {
            "generator",
            "discriminator",
            "generator_ema",
        }


def test_tensorboard_counts_images_and_groups_scalars(events):
    groups = {name.split("/")[0] for name in events.Tags()["scalars"]}
    assert groups == {
        *(
            "loss",
            "accuracy",
            "logits",
            "gradient_norm",
            "learning_rate",
            "time",
            "metric",
            "samples",
            "overfitting",
        ),
    }
    steps = [event.step for event in events.Scalars("loss/generator")]
    assert steps == [640, 1280, 1920, 2560, 3200]
    assert [event.step for event in events.Scalars("metric/fid_domain")] == [1600, 3200]
    assert [event.step for event in events.Images("images/real")] == [0]
    shown = [event.step for event in events.Images("images/fake")]
    assert shown == [0, 1024, 2048, 3008, 3200]
    assert "config/text_summary" in events.Tags()["tensors"]
    (text,) = events.Tensors("config/text_summary")[0].tensor_proto.string_val
    assert b"lr: 0.001" in text
    assert b": null" not in text


def test_the_first_lines_say_what_begins_and_the_last_where_everything_is(fit, capsys):
    folder = fit("dcgan_digits", "--trainer.max_steps", "2")
    first, second, *_, last = capsys.readouterr().out.strip().splitlines()
    assert first == (
        "GAN: generator DCGAN32Generator with 34,857 parameters, "
        "discriminator Critic32 with 1,101 parameters"
    )
    assert second == f"Watch it: tensorboard --logdir {folder} --samples_per_plugin images=100"
    assert last == (
        f"Run: {folder}  Last checkpoint: {folder}/checkpoints/last.ckpt  "
        f"Best checkpoint: none  Pictures: {folder}/pictures"
    )


def test_max_steps_counts_batches(fit):
    folder = fit("dcgan_digits", "--trainer.max_steps", "7")
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert (checkpoint["global_step"], checkpoint["images_seen"]) == (7, 7 * 64)


def test_resuming_goes_on_counting(trained, fit):
    checkpoint = str(trained / "checkpoints" / "last.ckpt")
    folder = fit("dcgan_digits", "--trainer.max_epochs", "3", "--ckpt_path", checkpoint)
    resumed = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert resumed["images_seen"] == 3 * 1600
    assert yaml.safe_load((folder / "config.yaml").read_text())["ckpt_path"] is None


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_every_config_opens_with_its_command_and_names_its_folder(path):
    text = path.read_text()
    assert text.startswith(f"# python cli.py fit --config configs/{path.name}")
    assert yaml.safe_load(text)["trainer"]["default_root_dir"] == f"runs/{path.stem}"


@pytest.mark.usefixtures("one_parser")
@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_every_config_is_whole(path, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["fit", "--config", str(path), "--print_config"])
    assert caught.value.code in (0, None)
    assert "generator_optimizer" in capsys.readouterr().out


@pytest.mark.usefixtures("one_parser")
@pytest.mark.parametrize("config", [["--config", str(CONFIGS[0])], [f"--config={CONFIGS[0]}"]])
def test_options_overrule_a_config_wherever_they_stand(config, capsys):
    options = ["--data.init_args.root", "mine", "--trainer.max_epochs", "3"]
    with pytest.raises(SystemExit):
        cli.main(["fit", *options, *config, "--print_config"])
    settings = yaml.safe_load(capsys.readouterr().out)
    assert settings["data"]["init_args"]["root"] == "mine"
    assert settings["trainer"]["max_epochs"] == 3
    assert settings["resume"] is False


def test_options_that_are_members_of_an_enumeration(config, capsys):
    timer = ["--trainer.callbacks", "Timer"]
    with pytest.raises(SystemExit):
        cli.main(["fit", "--config", str(CONFIGS[0]), *timer, "--print_config"])
    callbacks = yaml.safe_load(capsys.readouterr().out)["trainer"]["callbacks"]
    assert callbacks["init_args"]["interval"] == "step"


class TestSample:
    @pytest.fixture
    def forked(self, monkeypatch) -> None:
        """Share the work among processes that begin with all imported, which takes others seconds.

        In `test_bugs.py` they are begun as users' are.
        """
        forked = partial(start_processes, start_method=FORKED.get_start_method())
        monkeypatch.setattr(writing, "spawn", forked)

    def run(self, trained, output, *options):
        checkpoint = str(trained / "checkpoints" / "last.ckpt")
        cli.main(["sample", "--checkpoint", checkpoint, "--output", str(output), *options])

    def test_grid(self, trained, tmp_path):
        self.run(trained, tmp_path / "grid.png", "--count", "16")
        assert Image.open(tmp_path / "grid.png").size == (4 * 34 + 2, 4 * 34 + 2)

    def test_arrays_do_not_depend_on_the_batch_size(self, trained, tmp_path):
        self.run(trained, tmp_path / "a.npz", "--count", "10")
        self.run(trained, tmp_path / "b.npz", "--count", "10", "--batch-size", "3")
        self.run(trained, tmp_path / "c.npz", "--count", "10", "--seed", "1")
        a, b, c = (np.load(tmp_path / f"{name}.npz")["images"] for name in "abc")
        assert a.shape == (10, 32, 32, 1)
        assert a.dtype == np.uint8
        assert np.abs(a.astype(int) - b).max() <= 1  # the last bit may round otherwise
        assert np.abs(a.astype(int) - c).max() > 10

    def test_folder_and_overwriting(self, trained, tmp_path):
        output = tmp_path / "images"
        self.run(trained, output, "--count", "5")
        assert sorted(path.name for path in output.iterdir()) == [f"{i:06d}.png" for i in range(5)]
        (tmp_path / ".images.partial").mkdir()  # of a command that was killed
        with pytest.raises(SystemExit, match=r"--output .* exists.*--overwrite"):
            self.run(trained, output, "--count", "2")
        assert len(list(output.iterdir())) == 5
        self.run(trained, output, "--count", "2", "--overwrite")
        assert len(list(output.iterdir())) == 2

    def test_a_failure_leaves_nothing(self, trained, tmp_path, monkeypatch):
        def full(image: Image.Image, path: Path) -> None:
            path.write_bytes(b"half a picture")
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Image.Image, "save", full)
        with pytest.raises(SystemExit, match="No space left"):
            self.run(trained, tmp_path / "grid.png")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["x.npz", "x.png", "folder"])
    def test_a_full_disk(self, name, trained, tmp_path, monkeypatch):
        def full(*given: object, **options: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", full)
        monkeypatch.setattr(Image.Image, "save", full)
        (tmp_path / "x.png").write_text("of before")
        with pytest.raises(SystemExit, match=rf"{name} can't be written \(No space left"):
            self.run(trained, tmp_path / name, "--count", "4", "--overwrite")
        assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
        assert (tmp_path / "x.png").read_text() == "of before"

    def test_names_of_outputs(self, trained, tmp_path):
        """Folders may have a dot in their names, and may exist if they are empty."""
        (tmp_path / "empty").mkdir()
        for name in ("samples_v1.0", "run.final", "a.png/", "empty"):
            self.run(trained, f"{tmp_path}/{name}", "--count", "2")
            assert len(list((tmp_path / name).iterdir())) == 2
        with pytest.raises(SystemExit, match="exists: choose another"):
            self.run(trained, tmp_path / "empty", "--count", "2")
        for name in ("b.jpg", "b.pgn", "b.npy"):
            with pytest.raises(SystemExit, match=r"must end in \.png.* or be a folder \(a new one"):
                self.run(trained, tmp_path / name)
        self.run(trained, tmp_path / "B.PNG", "--count", "4")
        assert Image.open(tmp_path / "B.PNG").size == (2 * 34 + 2, 2 * 34 + 2)
        self.run(trained, tmp_path / "B.NPZ", "--count", "2")
        assert len(np.load(tmp_path / "B.NPZ")["images"]) == 2

    def test_two_devices_draw_the_same_images(self, trained, tmp_path, forked):
        self.run(trained, tmp_path / "a.npz", "--count", "10", "--batch-size", "3")
        options = ["--count", "10", "--batch-size", "3", "--devices", "2"]
        self.run(trained, tmp_path / "b.npz", *options)
        a, b = (np.load(tmp_path / f"{name}.npz")["images"] for name in "ab")
        assert np.array_equal(a, b)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]

    def test_ways_between_latents(self, trained, tmp_path):
        """In a grid, a GIF and a film: the way from the first latent to the second, and so on."""
        options = ["--count", "3", "--interpolate", "4"]
        self.run(trained, tmp_path / "a.npz", *options)
        self.run(trained, tmp_path / "ends.npz", "--count", "3")
        ways, ends = (np.load(tmp_path / f"{n}.npz")["images"].astype(int) for n in ("a", "ends"))
        for frame, end in ((0, 0), (3, 1), (4, 1), (7, 2)):
            assert np.abs(ways[frame] - ends[end]).max() <= 1
        self.run(trained, tmp_path / "a.png", *options)
        assert Image.open(tmp_path / "a.png").size == (4 * 34 + 2, 2 * 34 + 2)
        self.run(trained, tmp_path / "a.gif", *options)
        with Image.open(tmp_path / "a.gif") as film:
            assert film.n_frames == 8 - 1  # the same image twice is one, shown twice as long
        self.run(trained, tmp_path / "a.mp4", *options)
        with av.open(str(tmp_path / "a.mp4")) as film:
            frames = [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]
        assert [frame.shape for frame in frames] == [(256, 256)] * 8
        small = frames[5].reshape(32, 8, 32, 8).mean(axis=(1, 3))
        assert np.abs(small - ways[5, :, :, 0]).mean() < 12  # H.264 loses some

    def test_truncated_latents(self, trained, tmp_path):
        for limit in ("0.2", "9"):
            self.run(trained, tmp_path / f"{limit}.npz", "--count", "16", "--truncation", limit)
        self.run(trained, tmp_path / "all.npz", "--count", "16")
        short, long, all_ = (
            np.load(tmp_path / f"{n}.npz")["images"].astype(float) for n in ("0.2", "9", "all")
        )
        assert np.abs(long - all_).max() <= 1
        assert short.std(axis=0).mean() < all_.std(axis=0).mean() / 2

    def test_training_images_beside(self, trained, tmp_path, monkeypatch):
        from minmax.generation.neighbours import beside_nearest

        checkpoint = trained / "checkpoints" / "last.ckpt"
        images, _ = Digits().split(train=True)
        some = images[[5, 700, 31]].permute(0, 2, 3, 1).numpy()
        pairs = beside_nearest(some, checkpoint)
        assert np.array_equal(pairs[::2], some)
        assert np.array_equal(pairs[1::2], some), "a training image is its own neighbour"
        self.run(trained, tmp_path / "n.png", "--count", "6", "--nearest")
        assert Image.open(tmp_path / "n.png").size == (8 * 34 + 2, 2 * 34 + 2)
        shutil.copy(checkpoint, tmp_path / "alone.ckpt")
        arguments = ["sample", "--checkpoint", str(tmp_path / "alone.ckpt"), "--nearest"]
        with pytest.raises(SystemExit, match=r"--nearest needs the data that .*config\.yaml names"):
            cli.main([*arguments, "--output", str(tmp_path / "x.png")])
        assert not (tmp_path / "x.png").exists()

    @pytest.mark.parametrize("count", [3000, 1500])
    def test_more_images_than_the_memory_holds(self, count, trained, tmp_path, monkeypatch):
        """First the latents are counted, then the pixels."""
        monkeypatch.setattr(drawing, "available_memory", lambda: 10**6)
        with pytest.raises(SystemExit, match=f"{count:,} images take .*: lower --count or --inte"):
            self.run(trained, tmp_path / "x.png", "--count", str(count))
        assert not (tmp_path / "x.png").exists()

    def test_a_process_that_fails(self, trained, tmp_path, monkeypatch, forked):
        options = ["--count", "4", "--devices", "2", "--batch-size", "2"]
        checkpoint = tmp_path / "gone.ckpt"
        shutil.copy(trained / "checkpoints" / "last.ckpt", checkpoint)

        def gone(*given: object) -> tuple:
            found = prepared(*given)
            checkpoint.unlink()
            return found

        prepared = drawing.prepared
        monkeypatch.setattr(drawing, "prepared", gone)
        arguments = ["sample", "--checkpoint", str(checkpoint), *options]
        with pytest.raises(SystemExit, match=r"--devices 2: a process failed .*no checkpoint at"):
            cli.main([*arguments, "--output", str(tmp_path / "x.npz")])
        assert list(tmp_path.iterdir()) == []

    def test_classes(self, fit, tmp_path):
        folder = fit(
            "acgan_mnist", "--data", "datamodules.Digits", "--trainer.max_steps", "1",
            "--data.init_args.batch_size", "4", "--data.init_args.classes", "[7, 3, 1]",
            "--data.init_args.mirror", "true", "--model.init_args.asked_classes", "UniformClasses",
        )  # fmt: skip
        self.run(folder, tmp_path / "c.npz", "--count", "4", "--classes", "1", "7")
        assert np.load(tmp_path / "c.npz")["labels"].tolist() == [2, 2, 0, 0]
        self.run(folder, tmp_path / "images", "--count", "3")
        ways = ["--count", "3", "--interpolate", "2", "--classes", "3", "1"]
        self.run(folder, tmp_path / "w.npz", *ways)
        assert np.load(tmp_path / "w.npz")["labels"].tolist() == [1, 1, 2, 2], "a class a way"
        self.run(folder, tmp_path / "rows.png", "--count", "6")
        assert Image.open(tmp_path / "rows.png").size == (2 * 34 + 2, 3 * 34 + 2), "a row a class"
        self.run(folder, tmp_path / "uneven.png", "--count", "4", "--classes", "3", "1", "7")
        sheet = np.asarray(Image.open(tmp_path / "uneven.png"))
        assert sheet.shape == (3 * 34 + 2, 2 * 34 + 2)
        filled = [
            [sheet[2 + r : 34 + r, 2 + c : 34 + c].any() for c in (0, 34)] for r in (0, 34, 68)
        ]
        assert filled == [[True, True], [True, False], [True, False]]
        names = sorted(path.name for path in (tmp_path / "images").iterdir())
        assert names == ["000000_7.png", "000001_3.png", "000002_1.png"]
        for wrong in ("0", "[1]", "1,7"):
            said = f"--classes {wrong}: choose from 7, 3, 1 (names or numbers with spaces between)"
            with pytest.raises(SystemExit, match=re.escape(said)):
                self.run(folder, tmp_path / "d.npz", "--classes", wrong)

    def test_classes_of_a_model_without(self, trained, tmp_path):
        with pytest.raises(SystemExit, match="not class-conditional"):
            self.run(trained, tmp_path / "x.png", "--classes", "3")


def test_processes_of_torchrun_are_not_trainings_of_their_own(fit, monkeypatch):
    started = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    started |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    for name, value in (started | {"RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="devices"):
        fit("dcgan_digits", "--trainer.max_steps", "2")
