"""How an untrusted checkpoint or config may try to run code; `PROOF` stands for a file's name."""

from typing import Any

PROOF = "{proof}"


def spec(class_path: str, **init_args: Any) -> dict[str, Any]:
    return {"class_path": class_path, "init_args": init_args}


def chain(function: str) -> dict[str, Any]:
    """A chain of callables, the last of which gets the bytes `touch PROOF`."""
    steps = [
        spec("torchvision.transforms.v2.Normalize", mean=list(b"touch"), std=[1]),
        *("torch.Tensor.byte", "torch.Tensor.numpy", "numpy.ndarray.tobytes", function),
    ]
    return spec("torchvision.transforms.v2.Compose", transforms=steps)


TOUCH = {"args": ["touch", PROOF]}
NETWORK = "gan_modules.networks.DCGAN32Generator"

MODEL: dict[str, dict[str, Any]] = {
    # The variant
    "base class": {"_class_path": "gan_modules.base.GANModule", "generator": chain("os.system")},
    "base class, short": {"_class_path": "gan_modules.GANModule"},
    "variant of a stranger": {"_class_path": "strangers.GAN"},
    "variant in a submodule": {"_class_path": "strangers.variants.GAN"},
    "variant re-exported": {"_class_path": "gan_modules.base.LightningModule"},
    "variant a method": {"_class_path": "gan_modules.GAN.load_from_checkpoint"},
    "variant a module": {"_class_path": "gan_modules.gan"},
    "variant a network": {"_class_path": "gan_modules.networks.Critic32"},
    "variant that opens a page": {"_class_path": "antigravity.GAN"},
    "variant of two dots": {"_class_path": "gan_modules..GAN"},
    "variant by a file": {"_class_path": "/tmp/gan.GAN"},
    "variant without a module": {"_class_path": "eval"},
    # Compositions
    "compose": {"generator": chain("torch.os.system")},
    "sequential": {"generator": spec("torch.nn.Sequential", args=[spec("torch.nn.Tanh")])},
    "choice": {"generator": spec("torchvision.transforms.RandomApply", transforms=["os.system"])},
    "lambda": {"generator": spec("torchvision.transforms.Lambda", lambd="torch.os.system")},
    # Re-exports
    "torch.os": {"generator_optimizer": "torch.os.system"},
    "cpp_extension": {"generator": spec("torch.utils.cpp_extension.subprocess.Popen", **TOUCH)},
    "gan_modules os": {"generator_optimizer": "gan_modules.bookkeeping.around_steps.os.system"},
    "numpy.os": {"discriminator_optimizer": "numpy.os.system"},
    "lightning os": {"generator_optimizer": "lightning.pytorch.trainer.trainer.os.system"},
    "decode os": {"generator_optimizer": "datamodules.decode.os.system"},
    "files discard": {"generator_optimizer": "minmax.files.discard"},
    "own main": {"generator_optimizer": "cli.main"},
    "own commands": {"generator_optimizer": "minmax.commands.sample.main"},
    "optim os": {"generator_optimizer": spec("torch.optim.optimizer.os.system")},
    "optim annotations": {"generator_optimizer": "torch.optim.lr_scheduler.types.FunctionType"},
    # Functions and descriptors
    "method": {"generator_optimizer": "gan_modules.GAN.load_from_checkpoint"},
    "method of torch": {"generator_optimizer": "torch.nn.Module.apply"},
    "method of a network": {"generator_optimizer": f"{NETWORK}.forward"},
    "partial": {"generator": spec("functools.partial", func="os.system")},
    "getter": {"generator": spec("operator.methodcaller", name="system")},
    "eval": {"generator_optimizer": "builtins.eval"},
    "hub": {"generator": spec("torch.hub.load", repo_or_dir=PROOF, model="x")},
    "load": {"generator_optimizer": spec("torch.load", f=PROOF)},
    "serialization": {"generator_optimizer": "torch.serialization.load"},
    "model zoo": {"generator": spec("torch.utils.model_zoo.load_url", url="http://localhost")},
    "jit": {"generator_optimizer": "torch.jit.load"},
    "loader of classes": {"generator_optimizer": "jsonargparse._util.import_object"},
    "settings": {"generator": spec("jsonargparse.set_parsing_settings", import_path_allowlist=[])},
    # Classes that act when they are made
    "process": {"generator": spec("subprocess.Popen", **TOUCH)},
    "process as optimizer": {"generator_optimizer": spec("subprocess.Popen", **TOUCH)},
    "process as trick": {"labels": spec("subprocess.Popen", **TOUCH)},
    "temporary folder": {"label_flips": spec("tempfile.TemporaryDirectory", dir=PROOF)},
    "log file": {"generator": spec("logging.FileHandler", filename=PROOF)},
    "archive": {"generator": spec("zipfile.ZipFile", file=PROOF, mode="w")},
    "socket": {"generator": spec("socket.socket")},
    "web page": {"generator": spec("webbrowser.BackgroundBrowser", name="touch")},
    "logger": {"generator": spec("lightning.pytorch.loggers.CSVLogger", save_dir=PROOF)},
    "logger as trick": {"labels": spec("lightning.pytorch.loggers.CSVLogger", save_dir=PROOF)},
    "profiler": {"generator_optimizer": spec("lightning.pytorch.profilers.SimpleProfiler")},
    "rounds": {"labels": spec("minmax.benchmarks.rounds.Rounds", output=PROOF)},
    "average": {"generator": spec("torch.optim.swa_utils.AveragedModel", model=spec(NETWORK))},
    # Parts in the wrong place
    "optimizer for a network": {"generator": "torch.optim.Adam"},
    "network for an optimizer": {"generator_optimizer": NETWORK},
    "critic for a generator": {"generator": "gan_modules.networks.Critic32"},
    "data for a network": {"generator": "datamodules.Digits"},
    "variant for a trick": {"labels": spec("gan_modules.GAN")},
    "function for an optimizer": {"generator_optimizer": "gan_modules.parts.games.bce"},
    # Hidden deeper
    "in dict_kwargs": {
        "generator": {"class_path": NETWORK, "dict_kwargs": {"x": spec("os.popen")}}
    },
    "in init_args": {"generator": spec(NETWORK, width=spec("subprocess.Popen", **TOUCH))},
    "in a list": {"labels": [spec("subprocess.Popen", **TOUCH)]},
    "in an optimizer": {"generator_optimizer": spec("torch.optim.Adam", lr=spec("os.system"))},
    "unknown option": {"callback": spec("subprocess.Popen", **TOUCH)},
    "of a stranger": {"generator": spec("strangers.Generator")},
    "function of a stranger": {"generator_optimizer": "strangers.optimizer"},
}
"""By what they try: options of the model, and `_class_path` for the model itself."""

CONFIG: dict[str, dict[str, Any]] = {
    "callback of a stranger": {"trainer": {"callbacks": [spec("strangers.Callback")]}},
    "callback that calls": {
        "trainer": {
            "callbacks": [
                spec("lightning.pytorch.callbacks.LambdaCallback", on_fit_start="os.system")
            ]
        }
    },
    "callback that calls Lightning": {
        "trainer": {
            "callbacks": [
                spec(
                    "lightning.pytorch.callbacks.LambdaCallback",
                    setup="lightning.pytorch.utilities.seed.isolate_rng",
                )
            ]
        }
    },
    "callback of the command line": {
        "trainer": {"callbacks": [spec("lightning.pytorch.cli.SaveConfigCallback", config={})]}
    },
    "writer": {"trainer": {"callbacks": [spec("minmax.benchmarks.rounds.Rounds", output=PROOF)]}},
    "process as callback": {"trainer": {"callbacks": [spec("subprocess.Popen", **TOUCH)]}},
    "process as logger": {"trainer": {"logger": spec("subprocess.Popen", **TOUCH)}},
    "process as plugin": {"trainer": {"plugins": spec("subprocess.Popen", **TOUCH)}},
    "process as strategy": {"trainer": {"strategy": spec("subprocess.Popen", **TOUCH)}},
    "process as profiler": {"trainer": {"profiler": spec("subprocess.Popen", **TOUCH)}},
    "process as data": {"data": spec("subprocess.Popen", **TOUCH)},
    "data of a stranger": {"data": spec("strangers.Data")},
    "data a network": {"data": spec(NETWORK)},
    "data re-exported": {"data": spec("datamodules.folder.os.system")},
    "instantiator": {"model": spec("lightning.pytorch.cli.instantiate_module")},
    "trust": {"trust": "strangers", "model": spec("strangers.GAN")},
    "trust as a list": {"trust": ["strangers"]},
}
"""Whole configs, beside those of `MODEL`."""
