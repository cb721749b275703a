"""Wrong input ends with a one-line message, an exit code, and no files written."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

import cli
import minmax.commands.training  # noqa: F401  (its loggers keep the stream of now, not of a test)

DIGITS = ["fit", "--config", "dcgan_digits"]
FOLDER = ["fit", "--config", "dcgan96_folder", "--data.init_args.root"]
MODEL, DATA = "--model.init_args", "--data.init_args"
FLIPS = [f"{MODEL}.game", "CrossEntropy", f"{MODEL}.game.label_flips", "LabelFlips"]

CASES = {
    "unknown option": ([*DIGITS, "--trainer.max_epoch", "3"], "--trainer.max_epoch 3"),
    "unknown key of the model": ([*DIGITS, f"{MODEL}.latentdim", "3"], "'latentdim'"),
    "an item of a list": (
        [*DIGITS, f"{MODEL}.generator_optimizer.init_args.betas.0", "0.9"],
        "init_args.betas.0 names one item of a list, which can't be set alone: write all",
    ),
    "wrong type": ([*DIGITS, f"{DATA}.batch_size", "many"], "batch_size: Expected"),
    "unknown variant": ([*DIGITS, "--model", "gan_modules.NoGAN"], "gan_modules.NoGAN"),
    "no such config": (["fit", "--config", "nothing.yaml"], "nothing.yaml"),
    "broken config": (["fit", "--config", "{tmp}/broken.yaml"], "broken.yaml: Problems parsing"),
    "a key twice in a config": (
        ["fit", "--config", "{tmp}/twice.yaml"],
        "the key max_steps stands twice, again in line 3",
    ),
    "a key twice in an option": (
        [*DIGITS, f"{MODEL}.generator.init_args", "{{width: 8, width: 9}}"],
        "the key width stands twice",
    ),
    "a config of nothing but a comment": (
        ["fit", "--config", "{tmp}/comment.yaml"],
        "comment.yaml: it holds no options: give a file like configs/*",
    ),
    "a config of several documents": (
        ["fit", "--config", "{tmp}/several.yaml"],
        "several.yaml: Problems parsing config",
    ),
    "no config": (["fit"], "fit.model"),
    "no such command": (["train"], "there is no command train: choose from fit"),
    "no MNIST": (["fit", "--config", "dcgan_mnist", f"{DATA}.root", "{tmp}"], f"{DATA}.root"),
    "no folder": ([*FOLDER, "{tmp}/nowhere"], f"{DATA}.root is '"),
    "empty folder": ([*FOLDER, "{tmp}/empty"], "no images"),
    "broken image": ([*FOLDER, "{tmp}/broken", f"{DATA}.batch_size", "2"], "broken/b.png"),
    "a large batch, before an image is read": ([*FOLDER, "{tmp}/broken"], "at most 40, "),
    "options that contradict, before an image is read": (
        [*FOLDER, "{tmp}/broken", "--quality.every_images=9", "--trainer.val_check_interval=2"],
        "--quality.every_images and --trainer.",
    ),
    "classes wanted, none there": (
        [
            *("fit", "--config", "acgan_mnist", "--data", "datamodules.ImageFolder"),
            *(f"{DATA}.root", "{tmp}/plain"),
        ],
        "ACGAN needs data of at least 2 classes",
    ),
    "a class that is no YAML": (
        [*DIGITS, f"{DATA}.classes", "[=]"],
        "--data.init_args.classes must be a list of names or numbers. YAML doesn't read yes, no",
    ),
    "classes that are no list": ([*DIGITS, f"{DATA}.classes", "yes"], "must be a list of names"),
    "unknown class": ([*DIGITS, f"{DATA}.classes", "[cat]"], "--data.init_args.classes"),
    "image size": ([*DIGITS, f"{DATA}.image_size", "40"], "sizes it can: 32"),
    "large batch": ([*DIGITS, f"{DATA}.batch_size", "4000"], "at most 1618"),
    "shape typed by hand": ([*DIGITS, f"{MODEL}.channels", "3"], f"{MODEL}.channels is taken"),
    "no steps": ([*DIGITS, f"{MODEL}.discriminator_steps", "0"], "discriminator_steps must"),
    "discriminator steps": (
        ["fit", "--config", "wgan_gp_mnist", f"{MODEL}.discriminator_steps", "0"],
        f"{MODEL}.discriminator_steps must",
    ),
    "probability": (
        [*DIGITS, *FLIPS, "--model.init_args.game.label_flips.probability", "2"],
        "`probability` of LabelFlips must lie in [0, 1], got 2",
    ),
    "a target above 1": (
        [
            *DIGITS,
            *FLIPS,
            f"{MODEL}.game.labels",
            "OneSidedSmoothing",
            f"{MODEL}.game.labels.real_target",
            "9",
        ],
        "`real_target` of OneSidedSmoothing must lie in [0, 1], got 9",
    ),
    "network of another contract": (
        ["fit", "--config", "acgan_mnist", f"{MODEL}.discriminator", "Critic32"],
        "Critic32: it is of another kind",
    ),
    "generator without classes": (
        ["fit", "--config", "acgan_mnist", f"{MODEL}.generator", "DCGAN32Generator"],
        "draws without classes",
    ),
    "negative width": (
        [*DIGITS, f"{MODEL}.generator.init_args.width", "-3"],
        "`width` of DCGAN32Generator must be at least 1, got -3",
    ),
    "dropout of 3": (
        ["fit", "--config", "acgan_mnist", f"{MODEL}.discriminator.init_args.dropout", "3"],
        "`dropout` of ACGAN32Discriminator must lie between 0 and 1, got 3",
    ),
    "too long a seed": ([*DIGITS, "--quality.seed", str(2**63)], "--quality.seed must be below"),
    "a seed that no checkpoint keeps": (
        ["fit", "--config", "ring", "--data.init_args.seed", str(2**60)],
        "checkpoint of this run, since its settings.options.data.init_args.seed is more than",
    ),
    "a bar's rate": ([*DIGITS, "--progress.refresh_rate", "-1"], "--progress.refresh_rate"),
    "no pictures": ([*DIGITS, "--pictures.every_images", "0"], "--pictures.every_images"),
    "no checkpoint": ([*DIGITS, "--ckpt_path", "{tmp}/no.ckpt"], "no checkpoint at"),
    "not a checkpoint": ([*DIGITS, "--ckpt_path", "{tmp}/broken.yaml"], "broken.yaml is refused"),
    "unwritable run folder": (
        [*DIGITS, "--trainer.default_root_dir", "{tmp}/plain/a.png/run"],
        "--trainer.default_root_dir",
    ),
    "unknown features": ([*DIGITS, "--quality.features", "vgg"], "quality.features"),
    "few images to score": ([*DIGITS, "--quality.count", "3"], "--quality.count must be"),
    "two schedules": (
        [*DIGITS, "--quality.every_images", "640"],
        "--quality.every_images and --trainer.",
    ),
    "features of classes, no classes": (
        [
            *(*FOLDER, "{tmp}/plain", f"{DATA}.batch_size", "2"),
            *("--quality.features", "domain"),
        ],
        "--quality.features domain needs images of at least two classes",
    ),
    "no Inception weights": (
        [
            *(*DIGITS, "--quality.features", "inception"),
            *("--quality.inception_weights", "{tmp}/weights.pth"),
        ],
        "weights.pth: there is no such file; give the path of weights-inception",
    ),
    "compare what is not there": (["compare", "{tmp}/nothing"], "nothing is no folder"),
    "compare what was never tested": (["compare", "{tmp}/plain"], "plain has no metrics.json"),
    "test without a run": (
        ["test", "--config", "dcgan_digits", "--trainer.default_root_dir", "{tmp}/plain"],
        "test needs a checkpoint: give --ckpt_path",
    ),
    "a size that is none": (
        [*DIGITS, "--data.init_args.image_size", "16x32"],
        "--data.init_args.image_size must be a side in pixels, or '[height, width]'",
    ),
    "a crop that is none": (
        ["fit", "--config", "dcgan96_folder", "--data.init_args.crop", "padd"],
        "--data.init_args.crop: choose from 'centre', 'pad', 'none'",
    ),
    "a configuration as a plan": (
        ["study", "configs/ring.yaml"],
        "ring.yaml is no plan of a study (it lacks claim, config, forms, seeds, title, variants ",
    ),
    "unknown shell": (["completion", "ksh"], "completion ksh: choose from"),
    "penalty with batch norm": (
        ["fit", "--config", "wgan_gp_mnist", f"{MODEL}.discriminator", "DCGAN32Discriminator"],
        "has batch norm",
    ),
    "sample over a folder of other files": (
        ["sample", "--checkpoint", "x", "--output", "{tmp}/plain", "--overwrite"],
        "holds other files",
    ),
    "sample into another kind of file": (
        ["sample", "--checkpoint", "x", "--output", "{tmp}/x.jpg"],
        "must end in .png, .npz, .gif, .mp4, or be a folder",
    ),
    "clipping for one optimizer": (
        [*DIGITS, "--trainer.gradient_clip_val", "1"],
        f"{MODEL}.generator_clip_norm, {MODEL}.discriminator_clip_norm",
    ),
    "the same batches in each epoch": (
        [*DIGITS, "--trainer.overfit_batches", "2"],
        "--trainer.overfit_batches would take other images in each epoch",
    ),
    "clipping's way alone": (
        ["fit", "--config", "wgan_gp_mnist", "--trainer.gradient_clip_algorithm", "value"],
        f"{MODEL}.discriminator_clip_norm",
    ),
    "validations after no epochs": (
        [*DIGITS, "--trainer.check_val_every_n_epoch", "0"],
        "--trainer.check_val_every_n_epoch must be at least 1, got 0",
    ),
    "validations after no batches": (
        [*DIGITS, "--trainer.val_check_interval", "0"],
        "--trainer.val_check_interval must be above 0",
    ),
    "logs after negative steps": (
        [*DIGITS, "--trainer.log_every_n_steps", "-1"],
        "--trainer.log_every_n_steps must be at least 0, got -1",
    ),
    "negative clipping": (
        [*DIGITS, f"{MODEL}.generator_clip_norm", "-1"],
        f"{MODEL}.generator_clip_norm must",
    ),
    "spawned processes": ([*DIGITS, "--trainer.strategy", "ddp_spawn"], "ddp_spawn trains in"),
    "forked processes": (
        [
            *(*DIGITS, "--trainer.strategy", "lightning.pytorch.strategies.DDPStrategy"),
            *("--trainer.strategy.start_method", "fork"),
        ],
        "gan_ddp",
    ),
    "gradients of both networks at once": (
        [*DIGITS, "--trainer.strategy", "ddp_find_unused_parameters_false"],
        "ddp_find_unused_parameters_false waits for",
    ),
    "half weights": ([*DIGITS, "--trainer.precision", "bf16-true"], "precision bf16-true is not"),
    "half weights by a plugin": (
        [*DIGITS, "--trainer.plugins", "lightning.pytorch.plugins.HalfPrecision"],
        "precision 16-true is not",
    ),
    "eighth weights": (
        [*DIGITS, "--trainer.precision", "transformer-engine"],
        "precision transformer-engine is not",
    ),
    "unknown precision": ([*DIGITS, "--trainer.precision", "8-mixed"], "precision"),
    "unknown strategy": ([*DIGITS, "--trainer.strategy", "dpp"], "strategy"),
    "unknown accelerator": ([*DIGITS, "--trainer.accelerator", "gpus"], "accelerator"),
    "no devices": ([*DIGITS, "--trainer.devices", "0"], "devices"),
    "devices of a negative number": (
        [*DIGITS, "--trainer.accelerator", "cpu", "--trainer.devices", "-2"],
        "`devices` selected with `CPUAccelerator` should be an int > 0",
    ),
    "negative epochs": ([*DIGITS, "--trainer.max_epochs", "-5"], "max_epochs"),
    "images of no size": ([*DIGITS, f"{DATA}.image_size", "0"], "--data.init_args.image_size is 0"),
    "no batch": ([*DIGITS, f"{DATA}.batch_size", "0"], "--data.init_args.batch_size is 0"),
    "no classes": ([*DIGITS, f"{DATA}.classes", "[]"], "--data.init_args.classes is an empty"),
    "a class twice": ([*DIGITS, f"{DATA}.classes", "[3, 3]"], "twice"),
    "unknown optimizer": (
        [*DIGITS, f"{MODEL}.generator_optimizer", "torch.optim.Adamm"],
        "generator_optimizer",
    ),
    "negative learning rate": (
        [*DIGITS, f"{MODEL}.generator_optimizer.init_args.lr", "-1"],
        "learning rate",
    ),
    "a shape that is no number": ([*DIGITS, f"{MODEL}.latent_dim", "1.5"], "latent_dim"),
    "an infinite number": (
        [*DIGITS, f"{MODEL}.generator_optimizer.init_args.lr", ".inf"],
        f"{MODEL}.generator_optimizer.init_args.lr must be a finite number, got inf",
    ),
    "no number in a part": (
        [*DIGITS, f"{MODEL}.augment", "InstanceNoise", f"{MODEL}.augment.std", ".nan"],
        f"{MODEL}.augment.init_args.std must be a finite number, got nan",
    ),
    "more latents than the memory holds": (
        [*DIGITS, f"{MODEL}.latent_dim", str(10**12)],
        "the memory isn't enough",
    ),
    "no latents": ([*DIGITS, f"{MODEL}.latent_dim", "0"], f"{MODEL}.latent_dim must"),
    "negative half-life": (
        [*DIGITS, f"{MODEL}.ema_half_life_images", "-1"],
        f"{MODEL}.ema_half_life_images must",
    ),
    "negative noise": (
        [*DIGITS, f"{MODEL}.augment", "InstanceNoise", f"{MODEL}.augment.std", "-1"],
        "std",
    ),
    "unknown loss": ([*DIGITS, f"{MODEL}.generator_loss", "hinge"], "generator_loss"),
    "too much held out": (
        [*FOLDER, "{tmp}/plain", f"{DATA}.val_fraction", "2"],
        "--data.init_args.val_fraction is 2",
    ),
    "no colour": (
        [*FOLDER, "{tmp}/plain", f"{DATA}.background", "nocolour"],
        "--data.init_args.background",
    ),
    "no pictures in a row": ([*DIGITS, "--pictures.columns", "0"], "--pictures.columns"),
    "saves after no images": (
        [*DIGITS, "--checkpoint_last.every_images", "0"],
        "--checkpoint_last.every_images must",
    ),
    "resume what is not there": ([*DIGITS, "--ckpt_path", "last"], "--ckpt_path last: there is"),
    "resume without a truth value": ([*DIGITS, "--resume", "maybe"], "resume"),
    "config is a folder": (["fit", "--config", "{tmp}/plain"], "config"),
    "config is a picture": (["fit", "--config", "{tmp}/plain/a.png"], "a.png is no YAML text"),
    "config is a list": (["fit", "--config", "{tmp}/list.yaml"], "list.yaml: it holds no opt"),
    "shared gradients that are not": (
        [*DIGITS, "--trainer.strategy", "gan_ddp", "--trainer.strategy.static_graph", "true"],
        "strategy",
    ),
    "validate without a checkpoint": (
        ["validate", "--config", "dcgan_digits", "--trainer.default_root_dir", "{tmp}/plain"],
        "validate needs a checkpoint: give --ckpt_path",
    ),
    "test what is no checkpoint": (
        ["test", "--config", "dcgan_digits", "--ckpt_path", "{tmp}/plain/a.png"],
        "a.png is refused",
    ),
    "an empty checkpoint": (
        ["sample", "--checkpoint", "{tmp}/zero.ckpt", "--output", "{tmp}/x.png"],
        "zero.ckpt is refused",
    ),
    "a stranger's weights": (
        ["sample", "--checkpoint", "{tmp}/weights.ckpt", "--output", "{tmp}/x.png"],
        "weights.ckpt is no checkpoint of this project",
    ),
    "sample nothing": (
        ["sample", "--checkpoint", "x", "--output", "{tmp}/x.png", "--count", "0"],
        "--count must",
    ),
    "sample by too long a seed": (
        ["sample", "--checkpoint", "x", "--output", "{tmp}/x.png", "--mix-seed", str(2**63)],
        "--mix-seed must be below",
    ),
    "sample no batches": (
        ["sample", "--checkpoint", "x", "--output", "{tmp}/x.png", "--batch-size", "-3"],
        "--batch-size must",
    ),
    "sample a way of one image": (
        ["sample", "--checkpoint", "x", "--output", "{tmp}/x.gif", "--interpolate", "1"],
        "--interpolate must be at least 2",
    ),
    "sample from nowhere to nowhere": (
        [
            *("sample", "--checkpoint", "x", "--output", "{tmp}/x.gif", "--interpolate", "4"),
            *("--count", "1"),
        ],
        "give --count 2 or more",
    ),
    "sample a film of nothing": (
        ["sample", "--checkpoint", "x", "--output", "{tmp}/x.mp4"],
        "films show --interpolate N",
    ),
    "sample without latents": (
        ["sample", "--checkpoint", "x", "--output", "{tmp}/x.png", "--truncation", "0"],
        "--truncation must be above 0",
    ),
    "sample neighbours into a folder": (
        ["sample", "--checkpoint", "x", "--output", "{tmp}/x", "--nearest"],
        "--nearest is shown in a grid",
    ),
    "sample a grid on two devices": (
        ["sample", "--checkpoint", "x", "--output", "{tmp}/x.png", "--devices", "2"],
        "--devices share the work for a folder",
    ),
    "a study of nothing": (
        ["study", "{tmp}/nowhere.yaml"],
        "nowhere.yaml: the plans at hand are in studies/",
    ),
    "a study that is a picture": (["study", "{tmp}/plain/a.png"], "a.png is no plan of a study"),
    "a report of pictures": (["report", "{tmp}/plain"], "is the folder of no run and of no study"),
    "an export without a format's suffix": (
        ["export", "--checkpoint", "x", "--format", "onnx", "--output", "{tmp}/x.png"],
        "must end in .onnx",
    ),
    "an option misspelt": (
        [*DIGITS, "--trainer.max_epoch", "3"],
        "unrecognized arguments: --trainer.max_epoch 3. Did you mean --trainer.max_epochs?",
    ),
    "an option of the optimizer misspelt": (
        [*DIGITS, f"{MODEL}.generator_optimizer.init_args.lrr", "3"],
        "--model.init_args.generator_optimizer: Option 'lrr' is not accepted: choose from lr, ",
    ),
    "a variant's option misspelt": ([*DIGITS, f"{MODEL}.latent_din", "3"], "mean latent_dim?"),
    "a network misspelt": (
        [*DIGITS, f"{MODEL}.generator", "DCGAN23Generator"],
        "string: DCGAN23Generator. Did you mean DCGAN32Generator?",
    ),
    "data misspelt": ([*DIGITS, "--data", "Digit"], "string: Digit. Did you mean Digits?"),
    "data in lower case": ([*DIGITS, "--data", "digits"], "string: digits. Did you mean Digits?"),
    "a config misspelt": (
        ["fit", "--config", "{tmp}/lists.yaml"],
        "list.yaml?",
    ),
    "a config without its option": (
        ["fit", "{tmp}/list.yaml"],
        "A file of options is given with --config",
    ),
    "nothing to train": (["fit"], "--config configs/dcgan_digits.yaml, say"),
    "no returns": ([*DIGITS, "--finite.returns", "-1"], "--finite.returns must be 0 or more"),
    "rates that rise": ([*DIGITS, "--finite.rates_times", "2"], "--finite.rates_times above 0"),
    "compare a file": (["compare", "{tmp}/plain/a.png"], "a.png"),
    "compare damaged scores": (["compare", "{tmp}/scored"], "metrics.json"),
    "curves of nothing": (["curves", "{tmp}/plain", "--output", "{tmp}/x.png"], "plain"),
    "curves of no folder": (["curves", "{tmp}/nowhere", "--output", "{tmp}/x.png"], "nowhere"),
    "a seed that is none": ([*DIGITS, "--seed_everything", "-5"], "--seed_everything: -5 is not"),
    "a callback of Lightning's refuses its options": (
        [
            *(*DIGITS, "--trainer.callbacks", "EarlyStopping"),
            *("--trainer.callbacks.monitor", "x", "--trainer.callbacks.mode", "foo"),
        ],
        "EarlyStopping: `mode` can be min, max, got foo",
    ),
    "a callback of ours hands on what Lightning refuses": (
        [*DIGITS, "--checkpoint_last.every_n_epochs", "-1"],
        "LastCheckpoint: Invalid value for every_n_epochs=-1",
    ),
    "a callback of Lightning's for one optimizer": (
        [*DIGITS, "--trainer.callbacks", "BatchSizeFinder"],
        "--trainer.callbacks BatchSizeFinder doesn't work with two networks",
    ),
    "an optimizer refuses its options": (
        [
            *(*DIGITS, f"{MODEL}.generator_optimizer", "torch.optim.SGD"),
            *(f"{MODEL}.generator_optimizer.nesterov", "true"),
        ],
        "SGD: Nesterov momentum requires",
    ),
    "the trainer refuses its options": (
        [*DIGITS, "--trainer.val_check_interval", "1000"],
        "`val_check_interval` (1000) must be",
    ),
    "a batch that is too large names its option": (
        [*DIGITS, f"{DATA}.batch_size", "4000"],
        f"error: {DATA}.batch_size is 4000 on 1 process(es)",
    ),
    "a checkpoint's name that is too long": (
        ["sample", "--checkpoint", "x" * 300, "--output", "{tmp}/x.png"],
        "x: File name too long",
    ),
    "an output's name that is too long": (
        ["sample", "--checkpoint", "x", "--output", "{tmp}/" + "x" * 300 + ".png"],
        ".png: File name too long",
    ),
    "an export's name that is too long": (
        ["export", "--checkpoint", "x", "--format", "onnx", "--output", "x" * 300 + ".onnx"],
        ".onnx: File name too long",
    ),
    "a run's name that is too long": (
        [*DIGITS, "--trainer.default_root_dir", "{tmp}/" + "x" * 300],
        "File name too long",
    ),
    "a folder of images whose name is too long": ([*FOLDER, "x" * 300], "x: File name too long"),
    "compare a name that is too long": (["compare", "x" * 300], "File name too long"),
    "report of a name that is too long": (["report", "x" * 300], "File name too long"),
    "curves of a name that is too long": (
        ["curves", "x" * 300, "--output", "{tmp}/x.png"],
        "File name too long",
    ),
    "sample without checkpoint": (
        ["sample", "--checkpoint", "{tmp}/no.ckpt", "--output", "{tmp}/x.png"],
        "no checkpoint at",
    ),
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Folders and files of every wrong kind, and one of images without classes."""
    for name in ("empty", "broken", "plain"):
        (tmp_path / name).mkdir()
    for folder in ("broken", "plain"):
        for index in range(40):
            Image.new("RGB", (8, 8)).save(tmp_path / folder / f"a{index or ''}.png")
    (tmp_path / "broken" / "b.png").write_bytes(b"\x89PNG no more")
    (tmp_path / "list.yaml").write_text("[1, 2]\n")
    (tmp_path / "zero.ckpt").touch()
    torch.save({"weight": torch.ones(2)}, tmp_path / "weights.ckpt")
    (tmp_path / "scored").mkdir()
    (tmp_path / "scored" / "metrics.json").write_text('{"best": {')
    (tmp_path / "broken.yaml").write_text("trainer: [\n")
    (tmp_path / "comment.yaml").write_text("# nothing yet\n")
    (tmp_path / "several.yaml").write_text("a: 1\n---\nb: 2\n")
    (tmp_path / "twice.yaml").write_text("trainer:\n  max_steps: 1\n  max_steps: 2\n")
    return tmp_path


@pytest.mark.usefixtures("one_parser")
@pytest.mark.parametrize("case", CASES)
def test_one_line_names_the_way_out(case, data, config, capsys):
    arguments, expected = CASES[case]
    arguments = [argument.format(tmp=data) for argument in arguments]
    if "--config" in arguments and "/" not in arguments[2] and "." not in arguments[2]:
        arguments[2] = config(arguments[2])
    if arguments[0] == "fit" and "--trainer.default_root_dir" not in arguments:
        arguments += ["--trainer.default_root_dir", str(data / "run")]
        arguments += ["--trainer.max_steps", "1"]  # so that a missing error shows at once
    before = sorted(data.rglob("*"))
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    message = str(caught.value.code)
    assert message.startswith("error: ")
    assert "\n" not in message
    assert expected in message
    assert not re.search("Does not validate against|Given value|Subtypes", message), message
    assert "Traceback" not in capsys.readouterr().err
    assert sorted(data.rglob("*")) == before, "something was left behind"


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU here")
def test_no_gpu(config, data):
    arguments = ["fit", "--config", config("dcgan_digits"), "--trainer.accelerator", "gpu"]
    with pytest.raises(SystemExit, match=r"--trainer\.accelerator auto takes what is there"):
        cli.main([*arguments, "--trainer.default_root_dir", str(data / "run")])


def test_no_network_when_a_download_was_asked_for(data, config, monkeypatch):
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    arguments = ["fit", "--config", config("dcgan_mnist"), "--data.init_args.download", "true"]
    arguments += ["--data.init_args.root", str(data / "mnist")]
    with pytest.raises(SystemExit, match=r"MNIST could not be downloaded.*--data.init_args.root"):
        cli.main([*arguments, "--trainer.default_root_dir", str(data / "run")])
    assert not (data / "run").exists()


def test_an_existing_run_is_never_trained_over(trained, config):
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    with pytest.raises(SystemExit, match=r"already holds a run.*--resume true"):
        cli.main(
            [
                *("fit", "--config", config("dcgan_digits"), "--trainer.max_steps", "1"),
                *("--trainer.default_root_dir", str(trained)),
            ]
        )
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before


def test_a_run_is_not_resumed_into_anothers_folder(trained, tmp_path):
    (tmp_path / "config.yaml").write_text("of a run that was killed early")
    checkpoint = ["--ckpt_path", str(trained / "checkpoints" / "last.ckpt")]
    with pytest.raises(SystemExit, match="already holds a run"):
        cli.main(
            [
                *("fit", "--config", str(trained / "config.yaml"), *checkpoint),
                *("--trainer.default_root_dir", str(tmp_path)),
            ]
        )
    assert (tmp_path / "config.yaml").read_text() == "of a run that was killed early"


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("wgan_gp_mnist", [], "holds a gan_modules.GAN, but --model is gan_modules.WGANGP"),
        (None, ["--model.init_args.latent_dim", "50"], "doesn't fit the model"),
        (None, ["--model.init_args.ema_half_life_images", "0"], "generator_ema"),
    ],
)
def test_a_checkpoint_of_another_model(name, options, expected, trained, config, tmp_path):
    checkpoint = str(trained / "checkpoints" / "last.ckpt")
    run = ["--trainer.default_root_dir", str(tmp_path / "run")]
    chosen = str(trained / "config.yaml") if name is None else config(name)  # None: its own
    with pytest.raises(SystemExit, match=expected):
        cli.main(["fit", "--config", chosen, "--ckpt_path", checkpoint, *options, *run])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 745. GiB for an array"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    ],
)
def test_too_little_memory(error, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "run", fail)
    with pytest.raises(SystemExit, match=r"^error: the memory isn't enough .* of a batch .--data"):
        cli.main(["fit"])


def test_a_traceback_for_those_who_ask(monkeypatch):
    monkeypatch.setenv("MINMAX_TRACEBACK", "1")
    with pytest.raises(ValueError, match="no command"):
        cli.main(["train"])
