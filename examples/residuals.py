"""What each block of a published ResNet adds to your image, and the prediction without it.

A block computes ReLU(x + F(x)) (He et al. 2015, arXiv 1512.03385, section 3.2). x, F(x) and the
output are drawn for one block of each stage; for every block the size of F(x) relative to x, and
the probability of the predicted class when F(x) = 0 in that block alone.

    python -m pip install matplotlib
    python examples/residuals.py PHOTO
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from model_builder.system.tensorflow_import import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from model_builder.artifact.head import softmax  # noqa: E402
from model_builder.artifact.labels import imagenet1k  # noqa: E402
from model_builder.artifact.preprocessing import Preprocessing  # noqa: E402
from model_builder.build.builder import build_network  # noqa: E402
from model_builder.checkpoints.catalog import find_checkpoint  # noqa: E402
from model_builder.checkpoints.download.fetch import fetch  # noqa: E402
from model_builder.checkpoints.loader import read_tensors  # noqa: E402
from model_builder.networks.blocks import Block  # noqa: E402
from service.imaging.decoder import decode  # noqa: E402
from service.inference.artifacts import make_artifact_cache  # noqa: E402
from service.settings import Settings  # noqa: E402

Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class BlockInImage:
    """share: RMS of F(x) over RMS of x. probability_without: of the predicted class."""

    name: str
    share: float
    probability_without: float
    answer_without: str


@dataclass(frozen=True)
class Maps:
    """Mean magnitudes over the channels, each [H, W]. total: ReLU(x + F(x))."""

    x: Array
    residual: Array
    total: Array


def main(
    photo: Annotated[Path, typer.Argument(help="An image.")],
    model: Annotated[str, typer.Option(help="A published checkpoint, or a depth.")] = "resnet50",
    out: Annotated[Path, typer.Option(help="Writes this .json and .png.")] = Path("residuals"),
) -> None:
    """Runs the image through the network, unchanged and without each block in turn."""
    console = Console()
    checkpoint, settings = find_checkpoint(model), Settings()
    file = fetch(
        checkpoint,
        settings.model.home / "checkpoints",
        given=settings.model.checkpoint_file,
        config=make_artifact_cache(settings).fetching,
    )
    recipe, architecture = checkpoint.preprocessing, checkpoint.architecture
    network = build_network(architecture, read_tensors(file, architecture), recipe.crop_size)
    pixels = decode(photo.read_bytes(), recipe, max_pixels=settings.limits.max_image_pixels)
    inputs, names = normalized(pixels, recipe), [label.name for label in imagenet1k()]
    complete = probabilities(network, inputs)
    answer = int(complete.argmax())
    blocks = list(architecture.blocks())
    sums = residuals(network, blocks, inputs)
    found = []
    for block, (x, residual) in zip(track(blocks, "Blocks", console=console), sums, strict=True):
        without = probabilities_without(network, block, inputs)
        found.append(
            BlockInImage(
                block.name,
                float(np.linalg.norm(residual) / np.linalg.norm(x)),
                float(without[answer]),
                names[int(without.argmax())],
            )
        )
    result = {
        "model": checkpoint.name,
        "answer": names[answer],
        "probability": float(complete[answer]),
        "blocks": [asdict(one) for one in found],
    }
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    second = {
        b.name: maps(x, f) for b, (x, f) in zip(blocks, sums, strict=True) if b.name.endswith("_1")
    }
    plot(pixels, names[answer], complete[answer], second, found, out.with_suffix(".png"))
    table = Table("block", "F(x) beside x", f"{names[answer]}, without it", "called, without it")
    for one in found:
        table.add_row(
            one.name, f"{one.share:.2f}", f"{one.probability_without:.1%}", one.answer_without
        )
    console.print(f"{photo}: {names[answer]}, {complete[answer]:.1%}")
    console.print(table)


def normalized(pixels: Pixels, recipe: Preprocessing) -> Array:
    """Pixels uint8 [H, W, 3] to the network's input float32 [1, H, W, 3]."""
    channels = pixels[..., ::-1] if recipe.channel_order == "BGR" else pixels
    scaled = (channels - np.array(recipe.mean)) / np.array(recipe.std)
    return np.asarray(scaled[None], np.float32)


def probabilities(network: keras.Model, inputs: Array) -> Array:
    """[classes]."""
    row: Array = softmax(np.asarray(network(inputs, training=False)))[0]
    return row


def residuals(
    network: keras.Model, blocks: list[Block], inputs: Array
) -> list[tuple[Array, Array]]:
    """The terms of each block's addition: x, projected where its shape changes, and F(x)."""
    ends = [network.get_layer(f"{block.name}_add").input for block in blocks]
    outputs = keras.Model(network.input, ends)(inputs, training=False)
    return [(np.asarray(x)[0], np.asarray(residual)[0]) for residual, x in outputs]


def probabilities_without(network: keras.Model, block: Block, inputs: Array) -> Array:
    """Probabilities [classes] with F(x) = 0: zeros as scale and shift of its last batch norm."""
    last = network.get_layer(block.convolutions[-1].batch_norm)
    weights = last.get_weights()
    gamma, beta, *statistics = weights
    last.set_weights([np.zeros_like(gamma), np.zeros_like(beta), *statistics])
    try:
        return probabilities(network, inputs)
    finally:
        last.set_weights(weights)


def maps(x: Array, residual: Array) -> Maps:
    total = np.maximum(x + residual, 0)
    return Maps(*(np.abs(one).mean(axis=-1) for one in (x, residual, total)))


def plot(
    pixels: Pixels,
    answer: str,
    probability: float,
    shown: dict[str, Maps],
    found: list[BlockInImage],
    path: Path,
) -> None:
    """Plots the image, the maps of one block of each stage, and every block's two figures."""
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    rows: Any = figure.subfigures(2, 1, height_ratios=(1.5, 1))
    image, *columns = rows[0].subfigures(1, 1 + len(shown), width_ratios=(2, *[1] * len(shown)))
    place = image.subplots()
    place.imshow(pixels)
    place.set_title(f"{answer}, {probability:.0%}")
    place.set_axis_off()
    for column, (name, one) in zip(columns, shown.items(), strict=True):
        column.suptitle(name)
        brightest = max(values.max() for values in (one.x, one.residual, one.total))
        for place, values, what in zip(
            column.subplots(3, 1),
            (one.x, one.residual, one.total),
            ("x", "F(x)", "ReLU(x + F(x))"),
            strict=True,
        ):
            place.imshow(values, cmap="magma", vmin=0, vmax=brightest)
            place.set_title(what, fontsize=9)
            place.set_axis_off()
    left, right = rows[1].subplots(1, 2)
    labels = [one.name.removeprefix("layer") for one in found]
    left.bar(labels, [one.share for one in found], color="#2b6cb0")
    left.axhline(1, color="#718096", lw=0.8)
    left.set_title("F(x) beside x, in size")
    right.bar(labels, [one.probability_without for one in found], color="#2f855a")
    right.axhline(probability, color="#718096", lw=0.8)
    right.set(ylim=(0, 1), title=f"how probable {answer} is without the block")
    for place in (left, right):
        place.tick_params("x", rotation=90)
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    typer.run(main)
