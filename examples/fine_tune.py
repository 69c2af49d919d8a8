"""Fine-tunes a published ResNet on your images, imports it, serves it, and asks it.

Only the classifier is trained: what lies below gives each image's features, in the network that
is served and from the pixels that the service would feed it, and stays as it was published.

    python -m pip install scikit-learn matplotlib
    python -m examples.fine_tune                    the digits that come with scikit-learn
    python -m examples.fine_tune --images FOLDER    a folder a class, images in each
"""

from __future__ import annotations

# ruff: noqa: E402
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.progress import track

from model_builder.system.tensorflow_import import import_tensorflow

import_tensorflow()

import keras
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from examples.held_out import ask, plot, served
from model_builder.build.builder import build_network
from model_builder.checkpoints.catalog import find_checkpoint
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.download.fetch import fetch
from model_builder.checkpoints.loader import read_tensors
from model_builder.networks.fuse_batch_norm import fuse_batch_norm
from service.imaging.decoder import decode
from service.inference.artifacts import make_artifact_cache
from service.settings import Settings

Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
BATCH_SIZE = 32

console = Console()


@dataclass(frozen=True)
class Images:
    """files[i] shows classes[labels[i]]."""

    files: list[Path]
    labels: Labels
    classes: list[str]


def main(
    images: Annotated[
        Path | None, typer.Option(help="A folder for each class. Left out: scikit-learn's digits.")
    ] = None,
    name: Annotated[str, typer.Option(help="What it will be called.")] = "digits",
    base: Annotated[str, typer.Option(help="The checkpoint to start from.")] = "resnet50",
    limit: Annotated[int | None, typer.Option(min=4, help="Images of a class, at most.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training features.")] = 60,
    seed: Annotated[int, typer.Option(help="Of the split and the training.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for what is written.")] = Path("fine_tuned"),
) -> None:
    """Holds a quarter of the images back, trains on the rest, and asks the server for it."""
    out.mkdir(parents=True, exist_ok=True)
    if images is None:
        images = write_digits(out / "digits")
    found = find_images(images, limit)
    train, test = train_test_split(
        np.arange(len(found.files)), test_size=0.25, stratify=found.labels, random_state=seed
    )
    checkpoint = find_checkpoint(base)
    tensors = published_tensors(checkpoint)
    features = features_of(found.files, checkpoint, tensors)
    kernel, bias = train_head(
        features[train], found.labels[train], len(found.classes), epochs, seed
    )
    network = build_network(
        replace(checkpoint.architecture, classes=len(found.classes)),
        {**tensors, "fc/kernel": kernel, "fc/bias": bias},
        checkpoint.preprocessing.crop_size,
    )
    network.save(out / "tuned.keras")
    (out / "labels.txt").write_text("\n".join(found.classes) + "\n", encoding="utf-8")
    import_checkpoint(out, name, like=checkpoint.name)
    with served(name) as client:
        answers = ask(client, [found.files[i] for i in test])
    truth = found.labels[test]
    given = np.array([found.classes.index(answer) for answer in answers])
    here = (features[test] @ kernel + bias).argmax(axis=1)
    result = {
        "base": checkpoint.name,
        "classes": found.classes,
        "training_images": len(train),
        "held_out_images": len(test),
        "held_out_right_served": int((given == truth).sum()),
        "held_out_right_here": int((here == truth).sum()),
    }
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    pixels = pixels_of([found.files[i] for i in test], checkpoint)
    plot(pixels, found.classes, truth, given, out / "held_out.png")
    console.print(
        f"{name}: trained on {len(train)} images of {len(found.classes)} classes. "
        f"Of {len(test)} held back it gets {(given == truth).mean():.1%} right through the server, "
        f"{(here == truth).mean():.1%} here.\nServe it: RESNET_MODELS={name} resnet serve"
    )


def write_digits(folder: Path) -> Path:
    """1797 handwritten digits, scanned and brought to 8 x 8 pixels, as a PNG each."""
    digits = load_digits()
    for index, (image, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        place = folder / str(digit)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 255 / 16).astype(np.uint8)).save(place / f"{index:04}.png")
    return folder


def find_images(folder: Path, limit: int | None) -> Images:
    """Every image below each folder in `folder`, which is a class. Each needs four of them."""
    files: list[Path] = []
    labels: list[int] = []
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    for index, name in enumerate(classes):
        below = sorted(p for p in (folder / name).rglob("*") if p.suffix.lower() in SUFFIXES)
        if len(below) < 4:
            raise typer.BadParameter(f"A class has four images at least. Received: {below}")
        files += below[:limit]
        labels += [index] * len(below[:limit])
    if len(classes) < 2:
        raise typer.BadParameter(f"{folder} has a folder for each class. Received: {classes}")
    return Images(files, np.array(labels, np.int64), classes)


def published_tensors(checkpoint: Checkpoint) -> dict[str, Array]:
    """The checkpoint's file from the cache that the service uses, fetched where it is missing."""
    settings = Settings()
    file = fetch(
        checkpoint,
        settings.model.home / "checkpoints",
        given=settings.model.checkpoint_file,
        config=make_artifact_cache(settings).fetching,
    )
    return dict(read_tensors(file, checkpoint.architecture))


def pixels_of(files: Sequence[Path], checkpoint: Checkpoint) -> Pixels:
    """uint8 [N, S, S, 3], as the service would feed them."""
    limit = Settings().limits.max_image_pixels
    recipe = checkpoint.preprocessing
    return np.stack([decode(file.read_bytes(), recipe, max_pixels=limit) for file in files])


def features_of(files: Sequence[Path], checkpoint: Checkpoint, tensors: dict[str, Array]) -> Array:
    """What the classifier is given for each image: float32 [N, 512 or 2048]."""
    recipe = checkpoint.preprocessing
    network = build_network(checkpoint.architecture, tensors, recipe.crop_size)
    frozen = fuse_batch_norm(network, checkpoint.architecture, recipe)
    batches = [files[start : start + BATCH_SIZE] for start in range(0, len(files), BATCH_SIZE)]
    features = [
        frozen.predict_on_batch(pixels_of(batch, checkpoint)).mean(axis=(1, 2))
        for batch in track(batches, "Features", console=console)
    ]
    return np.concatenate(features)


def train_head(
    features: Array, labels: Labels, classes: int, epochs: int, seed: int
) -> tuple[Array, Array]:
    """A new classifier: kernel [features, classes], bias [classes]."""
    keras.utils.set_random_seed(seed)
    head = keras.Sequential([keras.Input(features.shape[1:]), keras.layers.Dense(classes)])
    head.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    head.fit(features, labels, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
    kernel, bias = head.get_weights()
    return kernel, bias


def import_checkpoint(out: Path, name: str, *, like: str) -> None:
    """`resnet import`: depth, classes and variant are in the file, the preprocessing is not."""
    options = ["--name", name, "--labels", str(out / "labels.txt"), "--like", like]
    subprocess.run(
        [sys.executable, "-m", "service", "import", str(out / "tuned.keras"), *options], check=True
    )


if __name__ == "__main__":
    typer.run(main)
