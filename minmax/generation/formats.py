"""The formats of an exported generator: how each is written and read."""

import copy
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_modules import GANModule
from minmax import strict_json

Draw = Callable[..., Tensor]
"""Images `[N, C, H, W]` of latents `[N, latent_dim]` and, if conditional, labels int64 `[N]`."""


class Drawing(nn.Module):
    """The generator that `sample` draws with, as a function of latents and labels."""

    def __init__(self, model: GANModule) -> None:
        super().__init__()
        self.network = copy.deepcopy(model.drawing_network).eval().requires_grad_(False)
        for layer in self.network.modules():
            if hasattr(layer, "fused"):  # as many groups as images, which a graph can't have
                layer.fused = False  # type: ignore[assignment]  # the same images

    def forward(self, latent: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images `[N, C, H, W]`; an unconditional generator needs no labels."""
        if labels is None:
            labels = latent.new_zeros(latent.shape[0], dtype=torch.int64)
        images: Tensor = self.network(latent, labels)
        return images.contiguous()


def write_safetensors(
    drawing: Drawing, inputs: tuple[Tensor, ...], contract: dict[str, Any], file: Path
) -> None:
    """Write the network's weights under their own names."""
    from safetensors.torch import save

    weights = {name: t.contiguous() for name, t in drawing.network.state_dict().items()}
    file.write_bytes(save(weights, {"contract": strict_json.dumps(contract)}))


def load_safetensors(file: Path, drawing: Drawing) -> Draw:
    """Load the weights into a copy of the network, whose own weights are zeroed first."""
    from safetensors.torch import load_file

    other = copy.deepcopy(drawing)
    for weight in other.state_dict().values():
        weight.zero_()
    other.network.load_state_dict(load_file(file))
    return other


def write_onnx(
    drawing: Drawing, inputs: tuple[Tensor, ...], contract: dict[str, Any], file: Path
) -> None:
    """Write a graph for any number of images."""
    import onnx
    import onnxruntime  # noqa: F401  (before the work, since the check needs it)

    names = list(contract["inputs"])
    several = torch.export.Dim("N", min=1, max=2**20)
    program = torch.onnx.export(
        drawing,
        inputs,
        input_names=names,
        output_names=["images"],
        dynamic_shapes=tuple({0: several} for _ in inputs),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    graph = program.model_proto
    onnx.helper.set_model_props(graph, {"contract": strict_json.dumps(contract)})
    onnx.save(graph, file)


def load_onnx(file: Path, drawing: Drawing) -> Draw:
    """Load the graph into ONNX Runtime, on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [argument.name for argument in session.get_inputs()]

    def draw(*inputs: Tensor) -> Tensor:
        feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0])

    return draw


def write_torch_export(
    drawing: Drawing, inputs: tuple[Tensor, ...], contract: dict[str, Any], file: Path
) -> None:
    """Write a program for any number of images."""
    several = torch.export.Dim("N", min=1, max=2**20)
    shapes = tuple({0: several} for _ in inputs)
    program = torch.export.export(drawing, inputs, dynamic_shapes=shapes)
    content = BytesIO()  # a full disk would abort the process
    text = strict_json.dumps(contract)
    torch.export.save(program, content, extra_files={"contract.json": text})
    file.write_bytes(content.getbuffer())


def load_torch_export(file: Path, drawing: Drawing) -> Draw:
    """Load the program, which needs only torch."""
    module: Draw = torch.export.load(file).module()
    return module


FORMATS = {
    "safetensors": (write_safetensors, load_safetensors),
    "onnx": (write_onnx, load_onnx),
    "torch_export": (write_torch_export, load_torch_export),
}
"""For each format: its writer, and its loader."""
