"""Builds the model that a checkpoint's options describe."""

from typing import Any

import torch
from jsonargparse import ArgumentParser
from torch import Tensor

from gan_modules import GANModule
from minmax import trust
from minmax.admission import admitted
from minmax.checkpoints.weighing import first_difference, shapes_of
from minmax.constructing import Constructors


@trust.enforced()
def build(class_path: str, options: dict[str, Any], weights: dict[str, Tensor]) -> GANModule:
    """Build a model, after checking that its shapes are those of the weights.

    Args:
        class_path: of the variant.
        options: of its class, with class paths in them.
        weights: that it will load.

    Raises:
        UserError: the options name foreign code.
        ValueError: the weights belong to another model.
        Exception: whatever the variant and its networks raise about the options.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(trust.imported(class_path, "model"), "model", fail_untyped=False)
    parsed = parser.parse_object({"model": options})
    trust.check_config(parsed)

    def instantiate() -> GANModule:
        constructors = Constructors()
        with constructors.watched():
            given = [(constructors, object, True)]
            model: GANModule = parser.instantiate(parsed, instantiators=given).model
        return model

    try:
        with torch.device("meta"):  # takes no memory
            wanted = shapes_of(instantiate().state_dict())
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error) or not admitted():
            raise
        return instantiate()  # a user's network that can't be built on the meta device
    if (difference := first_difference(shapes_of(weights), wanted)) is not None:
        raise ValueError(difference)
    return instantiate()
