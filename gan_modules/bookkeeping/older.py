"""Options and checkpoints of earlier versions, in today's words.

Until 0.2 WGAN-GP's second network was called `critic`, the variants themselves had the
options of the cross entropy, and networks were built without the number of classes.
"""

from typing import Any

TRICKS = "gan_modules.tricks."
PARTS = "gan_modules.parts."
OF_GAME = ("labels", "label_flips")
NON_SATURATING = "gan_modules.losses.non_saturating"
LOSSES = {"gan_modules.losses.bce_mean": 0.5, "gan_modules.losses.bce_sum": 1.0}


def renew(checkpoint: dict[str, Any]) -> bool:
    """Bring a checkpoint into today's words, and tell whether that changed it."""
    options = checkpoint.get("hyper_parameters", {})
    class_path = str(options.get("_class_path"))
    changed: dict[str, Any] = renewed(options, class_path)
    checkpoint["hyper_parameters"] = changed
    weights = checkpoint.get("state_dict", {})
    old = [n for n in weights if n.startswith("critic.")] if is_ours(class_path) else []
    for name in list(weights) if old else []:  # one by one, which keeps their order
        weights[name.replace("critic.", "discriminator.", 1)] = weights.pop(name)
    return bool(old) or changed != options


def renewed_config(config: Any) -> Any:
    """The options of a run in today's words; anything else is returned unchanged."""
    model = config.get("model") if isinstance(config, dict) else None
    if isinstance(model, dict) and isinstance(model.get("init_args"), dict):
        named = renewed(model["init_args"], str(model.get("class_path")))
        config["model"] = model | {"init_args": named}
    return config


def renewed(options: dict[str, Any], class_path: str) -> dict[str, Any]:
    """The options of a variant in today's words.

    Args:
        options: those of its constructor.
        class_path: that of the variant.
    """
    if not is_ours(class_path):
        return dict(options)
    new = {str(name).replace("critic", "discriminator"): value for name, value in options.items()}
    if "penalty_weight" in new:
        weight = new.pop("penalty_weight")
        new["penalty"] = part("GradientPenalty", weight=weight)
    if "instance_noise" in new:
        new["augment"] = moved(new.pop("instance_noise"))
    if "batches" in new:
        new["batches"] = moved(new["batches"])
    ours: dict[str, Any] = {name: new.pop(name) for name in OF_GAME if name in new}
    if new.get("generator_loss") in (None, NON_SATURATING):  # others are unknown options now
        new.pop("generator_loss", None)
    game: dict[str, Any] = {name: moved(value) for name, value in ours.items() if value is not None}
    if str(new.get("discriminator_loss")) in LOSSES:
        game["discriminator_weight"] = LOSSES[new.pop("discriminator_loss")]
    if game:
        new["game"] = part("CrossEntropy", **game)
    return new


def is_ours(class_path: str) -> bool:
    """Whether a class path, or a class name alone, is that of a variant of earlier versions."""
    package, _, variant = class_path.rpartition(".")
    return package in ("", "gan_modules") and variant in ("GAN", "ACGAN", "WGANGP")


def part(name: str, **arguments: Any) -> dict[str, Any]:
    """A part as a configuration writes it."""
    return {"class_path": PARTS + name, "init_args": arguments}


def moved(value: Any) -> Any:
    """A part with the path of the module where it is today."""
    if isinstance(value, str):
        return value.replace(TRICKS, PARTS)
    if isinstance(value, dict) and isinstance(value.get("class_path"), str):
        return value | {"class_path": value["class_path"].replace(TRICKS, PARTS)}
    return value
