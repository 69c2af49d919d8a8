"""Where an import's preprocessing and labels come from: options, the file, files beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model_builder.artifact.labels import Label, imagenet1k, read_label_file
from model_builder.checkpoints.catalog import all_names, find_checkpoint
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.recipe.files import CONFIG, Beside, read_recipe
from model_builder.checkpoints.recipe.partial import PartialRecipe, whole
from model_builder.checkpoints.recipe.within import labels_within
from model_builder.errors import ConversionFailed

BACKGROUND = ("background", "dummy", "__background__", "_background_", "[background]")


@dataclass(frozen=True, slots=True)
class Like:
    """What `--like` names.

    checkpoint: a row of the catalog, which states variant and epsilon too; None for a file.
    """

    recipe: PartialRecipe
    checkpoint: Checkpoint | None = None


def find_like(name: str) -> Like:
    """A checkpoint of the catalog, or a file or folder that states a preprocessing.

    Raises UnknownModel, or ConversionFailed for a file that states none.
    """
    if name not in all_names() and Path(name).exists():
        return Like(read_recipe(Path(name)))
    row = find_checkpoint(name)
    return Like(whole(row.preprocessing, row.name), row)


def recipe_sources(
    beside: Beside, in_file: PartialRecipe | None, like: Like | None, *, input_channels: int
) -> list[PartialRecipe]:
    """Those that state fields which no option does, the first before the others.

    in_file: of the network's own layers. input_channels: of its first convolution. A file beside
    the weights is read where there is no `--like`. Raises ConversionFailed.
    """
    sources = [] if in_file is None else [in_file]
    if input_channels == 1:
        sources.append(PartialRecipe({"channel_order": "L"}, "the one channel of the network"))
    if like is not None:
        return [*sources, like.recipe]
    found = beside.recipe()
    if found is not None:
        sources.append(PartialRecipe(found.fields, f"{found.source} beside the weights"))
    return sources


@dataclass(frozen=True, slots=True)
class FoundLabels:
    """labels: None where `missing` says what to do. said: where they come from."""

    labels: tuple[Label, ...] | None
    missing: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


def find_labels(
    path: Path | None, weights: Path, beside: Beside, classes: int, *, of_torch: bool = False
) -> FoundLabels:
    """The labels of a classifier: of the file `path`, in the weights, beside them, or ImageNet's.

    of_torch: whether the weights are in a format of PyTorch's, which may hold labels.
    Raises ConversionFailed where the file can't be read or names another number of classes.
    """
    if path is not None:
        file = read_label_file(path)
        if len(file.labels) != classes:
            raise ConversionFailed(
                f"{path.name} names {len(file.labels)} classes, and the classifier has {classes}."
                + _background(file.labels, classes)
            )
        return FoundLabels(file.labels, said=(f"Labels: {path.name}, {file.form}.",))
    asked = f"The classifier has {classes} classes: name them with --labels FILE."
    within = labels_within(weights) if of_torch else None
    if within is not None and len(within.labels) == classes:
        return FoundLabels(within.labels, said=(f"Labels: {weights.name}, {within.form}.",))
    config = beside.labels()
    if config is not None:
        if len(config.labels) == classes:
            said = f"Labels: {CONFIG} beside the weights, {config.form}."
            return FoundLabels(config.labels, said=(said,))
        asked += f" {CONFIG} beside the weights names {len(config.labels)}."
    if classes == len(imagenet1k()):
        return FoundLabels(imagenet1k(), said=("Labels: ImageNet's 1000 classes.",))
    return FoundLabels(None, (asked,))


def _background(labels: tuple[Label, ...], classes: int) -> str:
    """A hint where one list has TensorFlow's class for the background and the network has not."""
    if len(labels) == classes + 1 and labels[0].name.lower() in BACKGROUND:
        return f" The first, {labels[0].name!r}, is of networks with one class more: take it out."
    if len(labels) + 1 == classes:
        return " Networks of TensorFlow may have a class more at 0, 'background'."
    return ""
