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
    """Build a model, once it is known to be as large as its weights.

    Args:
        class_path: of the variant.
        options: of its class, with class paths in them.
        weights: that it is to take.

    Raises:
        ValueError: it names foreign code, or is another model than that of the weights.
        Exception: whatever the variant and its networks raise about the options.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(trust.imported(class_path, "model"), "model", fail_untyped=False)
    parsed = parser.parse_object({"model": options})
    trust.check_config(parsed)

    def made() -> GANModule:
        constructors = Constructors()
        with constructors.watched():
            given = [(constructors, object, True)]
            model: GANModule = parser.instantiate(parsed, instantiators=given).model
        return model

    try:
        with torch.device("meta"):  # where a model takes no memory
            wanted = shapes_of(made().state_dict())
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error) or not admitted():
            raise
        return made()  # a network of the user's that wants real numbers to be built
    if (difference := first_difference(shapes_of(weights), wanted)) is not None:
        raise ValueError(difference)
    return made()
