"""Fine-tunes a published ResNet on your images, imports it, serves it, and tests the server.

Only the classifier is trained: the layers below it compute each image's features, in the network
that is served and from the pixels that the service computes, and are not changed.

    python -m pip install scikit-learn matplotlib
    python examples/fine_tune.py                     the digits that come with scikit-learn
    python examples/fine_tune.py --images FOLDER   a folder a class, images in each
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import httpx2
import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.progress import track

from model_builder.system.tensorflow_import import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from PIL import Image  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402

from model_builder.artifact.preprocessing import Preprocessing  # noqa: E402
from model_builder.build.builder import build_network  # noqa: E402
from model_builder.checkpoints.catalog import find_checkpoint  # noqa: E402
from model_builder.checkpoints.checkpoint import Checkpoint  # noqa: E402
from model_builder.checkpoints.download.fetch import fetch  # noqa: E402
from model_builder.checkpoints.loader import read_tensors  # noqa: E402
from model_builder.networks.fuse_batch_norm import fuse_batch_norm  # noqa: E402
from service.imaging.decoder import decode  # noqa: E402
from service.inference.artifacts import make_artifact_cache  # noqa: E402
from service.settings import Settings  # noqa: E402

Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
BATCH_SIZE = 32
START_TIMEOUT_SECONDS = 300.0

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
    """Trains on three quarters of the images, and tests the server on the rest."""
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
        answers = list(ask(client, [found.files[i] for i in test]))
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
    pixels = np.stack([decoded(found.files[i], checkpoint.preprocessing) for i in test])
    plot(pixels, found.classes, truth, given, out / "held_out.png")
    console.print(
        f"{name}: trained on {len(train)} images of {len(found.classes)} classes. "
        f"Of {len(test)} held back it gets {(given == truth).mean():.1%} right through the server, "
        f"{(here == truth).mean():.1%} here.\nServe it: RESNET_MODELS={name} resnet serve"
    )


def write_digits(folder: Path) -> Path:
    """1797 scans of handwritten digits of 8 x 8 pixels, one PNG each."""
    digits = load_digits()
    for index, (image, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        place = folder / str(digit)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 255 / 16).astype(np.uint8)).save(place / f"{index:04}.png")
    return folder


def find_images(folder: Path, limit: int | None) -> Images:
    """The images in each subfolder of `folder`, one class each. A class needs four images."""
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
    """The checkpoint's file from the service's cache, downloaded where it is missing."""
    settings = Settings()
    file = fetch(
        checkpoint,
        settings.model.home / "checkpoints",
        given=settings.model.checkpoint_file,
        config=make_artifact_cache(settings).fetching,
    )
    return dict(read_tensors(file, checkpoint.architecture))


def features_of(files: Sequence[Path], checkpoint: Checkpoint, tensors: dict[str, Array]) -> Array:
    """The input of the classifier for each image: float32 [N, 512 or 2048]."""
    recipe = checkpoint.preprocessing
    network = build_network(checkpoint.architecture, tensors, recipe.crop_size)
    frozen = fuse_batch_norm(network, checkpoint.architecture, recipe)
    batches = []
    for start in track(range(0, len(files), BATCH_SIZE), "Features", console=console):
        pixels = [decoded(file, recipe) for file in files[start : start + BATCH_SIZE]]
        batches.append(frozen.predict_on_batch(np.stack(pixels)).mean(axis=(1, 2)))
    return np.concatenate(batches)


def decoded(file: Path, recipe: Preprocessing) -> Pixels:
    """The network's input as the service computes it: uint8 [224, 224, 3]."""
    return decode(file.read_bytes(), recipe, max_pixels=Settings().limits.max_image_pixels)


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


@contextmanager
def served(name: str) -> Iterator[httpx2.Client]:
    """A ready server in its own process; it is stopped at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "RESNET_MODELS": name,
        "RESNET_MODEL": "",
        "RESNET_HOST": "127.0.0.1",
        "RESNET_PORT": str(port),
        "RESNET_LOG_LEVEL": "warning",
    }
    server = subprocess.Popen([sys.executable, "-m", "service"], env={**os.environ, **settings})
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_until_ready(server, client)
            yield client
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_until_ready(server: subprocess.Popen[bytes], client: httpx2.Client) -> None:
    end = time.monotonic() + START_TIMEOUT_SECONDS
    while server.poll() is None and time.monotonic() < end:
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit("The server did not become ready; its log says why.")


def ask(client: httpx2.Client, files: Sequence[Path]) -> Iterator[str]:
    """The most probable class of each image, in their order."""

    def one(file: Path) -> str:
        with file.open("rb") as image:
            answer = client.post("/predict", params={"top_k": 1}, files={"file": image})
        answer.raise_for_status()
        label: str = answer.json()["predictions"][0]["label"]
        return label

    with ThreadPoolExecutor(16) as pool:
        yield from track(
            pool.map(one, files), "Asking the server", total=len(files), console=console
        )


def plot(pixels: Pixels, classes: list[str], truth: Labels, given: Labels, path: Path) -> None:
    """The confusion matrix, and some of the images, misclassified ones first."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1, 1.2))
    left, right = halves
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (truth, given), 1)
    panel = left.subplots()
    panel.imshow(counts, cmap="Blues")
    for row, column in np.argwhere(counts):
        color = "white" if 2 * counts[row, column] > counts.max() else "black"
        panel.text(column, row, counts[row, column], ha="center", va="center", color=color)
    slope = 45 if max(map(len, classes)) > 2 else 0
    panel.set_xticks(range(len(classes)), classes, rotation=slope)
    panel.set_yticks(range(len(classes)), classes)
    panel.set(xlabel="the server's answer", ylabel="what it shows")
    order = np.argsort(given == truth, kind="stable")
    places = right.subplots(4, 6).flat
    for place, index in zip_longest(places, order[: len(places)]):
        place.set_axis_off()
        if index is None:
            continue
        title, color = classes[given[index]], "#2f855a"
        if given[index] != truth[index]:
            title, color = f"{title}: no,\n{classes[truth[index]]}", "#c53030"
        place.imshow(pixels[index])
        place.set_title(title, fontsize=9, color=color)
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    typer.run(main)
