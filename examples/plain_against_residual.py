"""A deep plain network trains worse than a shallow one; a deep residual network does not.

The experiment of He et al. 2015 (arXiv 1512.03385), section 4.2 and figure 6, small enough for a
CPU: their networks of 6n + 2 layers, on the 8 x 8 handwritten digits that come with
scikit-learn. Plain and residual networks differ in the additions only: shortcuts are option A,
which has no weights, so that both have the same number of weights and the same initial values.

    python -m pip install scikit-learn matplotlib
    python examples/plain_against_residual.py
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from model_builder.system.tensorflow_import import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
import matplotlib as mpl  # noqa: E402
from keras import layers, ops  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402

WIDTHS = (16, 32, 64)
BATCH_SIZE = 128
MOMENTUM = 0.9


@dataclass(frozen=True)
class Training:
    """One training. training_loss: the mean of each epoch. Accuracies: of the last epoch."""

    kind: str
    depth: int
    seed: int
    training_loss: list[float]
    training_accuracy: float
    test_accuracy: float


def main(
    depths: Annotated[tuple[int, int], typer.Option(help="Two of 8, 14, 20, ...")] = (20, 56),
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each network.")] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the 1437 digits.")] = 12,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="Of SGD, constant.")] = 0.03,
    out: Annotated[Path, typer.Option(help="Writes this .json and .svg.")] = Path(
        "plain_against_residual"
    ),
) -> None:
    """Trains both depths, plain and residual, and writes and plots their losses."""
    if any(depth < 8 or depth % 6 != 2 for depth in depths):
        raise typer.BadParameter(f"depths are 6n + 2: 8, 14, 20, ... Received: {depths}")
    console = Console()
    trainings = [
        (kind, depth, seed)
        for seed in range(seeds)
        for kind in ("plain", "residual")
        for depth in depths
    ]
    runs = [
        train(*training, epochs, learning_rate)
        for training in track(trainings, "Training", console=console)
    ]
    out.with_suffix(".json").write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n")
    plot(runs, out.with_suffix(".svg"))
    table = Table("network", "layers", "seed", "training loss", "training acc.", "test acc.")
    for run in sorted(runs, key=lambda run: (run.kind, run.depth)):
        accuracies = f"{run.training_accuracy:.1%}", f"{run.test_accuracy:.1%}"
        loss = f"{run.training_loss[-1]:.4f}"
        table.add_row(run.kind, str(run.depth), str(run.seed), loss, *accuracies)
    console.print(table)


def train(kind: str, depth: int, seed: int, epochs: int, learning_rate: float) -> Training:
    digits = load_digits()
    pixels = digits.images[..., None].astype("float32") / 8 - 1
    split = train_test_split(
        pixels, digits.target, test_size=0.2, stratify=digits.target, random_state=0
    )
    train_pixels, test_pixels, train_labels, test_labels = split
    keras.utils.set_random_seed(seed)
    network = build(depth, residual=kind == "residual")
    network.compile(
        keras.optimizers.SGD(learning_rate, momentum=MOMENTUM),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    history = network.fit(
        train_pixels, train_labels, batch_size=BATCH_SIZE, epochs=epochs, verbose=0
    ).history
    _, test_accuracy = network.evaluate(test_pixels, test_labels, verbose=0)
    return Training(kind, depth, seed, history["loss"], history["accuracy"][-1], test_accuracy)


def build(depth: int, *, residual: bool) -> keras.Model:
    """6n + 2 layers: a convolution, 3 stages of n blocks of two, the classifier. Logits [N, 10]."""
    pixels = keras.Input((8, 8, 1))
    x = layers.ReLU()(convolution(pixels, WIDTHS[0]))
    for stage, width in enumerate(WIDTHS):
        for block in range((depth - 2) // 6):
            stride = 2 if stage > 0 and block == 0 else 1
            y = layers.ReLU()(convolution(x, width, stride))
            y = convolution(y, width)
            if residual:
                y = layers.Add()([y, shortcut(x, width, stride)])
            x = layers.ReLU()(y)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, layers.Dense(10)(x))


def convolution(x: keras.KerasTensor, width: int, stride: int = 1) -> keras.KerasTensor:
    conv = layers.Conv2D(width, 3, stride, "same", use_bias=False, kernel_initializer="he_normal")
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(conv(x))


def shortcut(x: keras.KerasTensor, width: int, stride: int) -> keras.KerasTensor:
    """Option A: every second pixel, and zeros for the new channels."""
    if stride == 1:
        return x
    x = layers.MaxPooling2D(1, strides=stride)(x)
    return ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, width - x.shape[-1])))


def plot(runs: list[Training], file: Path) -> None:
    """Training loss by epoch, as the paper's figure 6: plain left, residual right."""
    mpl.rcParams["svg.hashsalt"] = "0"
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    depths = sorted({run.depth for run in runs})
    for panel, kind in zip(panels, ("plain", "residual"), strict=True):
        for run in runs:
            if run.kind == kind:
                deep = run.depth == depths[-1]
                name = f"{kind}-{run.depth}" if run.seed == 0 else None
                epochs = range(1, len(run.training_loss) + 1)
                color = "#c05621" if deep else "#2b6cb0"
                panel.plot(epochs, run.training_loss, color=color, lw=1 + deep, label=name)
        panel.set(xlabel="epoch", yscale="log", title=f"{kind} networks")
        panel.grid(alpha=0.3)
        panel.legend(frameon=False)
    panels[0].set_ylabel("training loss")
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    typer.run(main)
