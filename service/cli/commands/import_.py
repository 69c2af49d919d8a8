"""resnet import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from model_builder.artifact.checksums import checksum
from model_builder.artifact.labels import imagenet1k, read_labels
from model_builder.artifact.preprocessing import ChannelOrder, Interpolation, Preprocessing
from model_builder.checkpoints.catalog import find_checkpoint
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.custom import CustomCheckpoint, check_name
from model_builder.errors import BuilderError, ConversionFailed
from model_builder.networks.config import ResNetConfig, Shortcut
from model_builder.networks.head import Activation
from service.cli.options import HomeOption, Variant, complete_model, end, settings_with
from service.inference.artifacts import make_artifact_cache

T = TypeVar("T")
Three = tuple[float, float, float]
# The option of each field.
PREPROCESSING = {
    "resize_edge": "--resize",
    "crop_size": "--crop",
    "interpolation": "--interpolation",
    "channel_order": "--channels",
    "mean": "--mean",
    "std": "--std",
}


def import_(
    file: Annotated[Path, typer.Argument(help="Weights: .h5, .keras, .safetensors, .pth, ...")],
    name: Annotated[str, typer.Option(help="What it will be called.")],
    depth: Annotated[int | None, typer.Option(help="Checked against the file.")] = None,
    variant: Annotated[
        Variant | None,
        typer.Option(help="A bottleneck halves in its first 1x1 (v1, Keras) or its 3x3 (v1.5)."),
    ] = None,
    shortcut: Annotated[
        Shortcut | None, typer.Option(help="Where shortcuts have no weights: A, or none (plain).")
    ] = None,
    epsilon: Annotated[float | None, typer.Option(help="Of the batch norms.")] = None,
    activation: Annotated[
        Activation | None,
        typer.Option(
            help="sigmoid where the classes are independent of each other, or there is one; "
            "softmax by default."
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="A class a line, or JSON. ImageNet's for 1000 classes.")
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            help="A checkpoint with the same preprocessing, variant and epsilon.",
            autocompletion=complete_model,
        ),
    ] = None,
    resize: Annotated[int | None, typer.Option(help="The shorter edge, in pixels.")] = None,
    crop: Annotated[int | None, typer.Option(help="The square's edge, in pixels.")] = None,
    interpolation: Annotated[Interpolation | None, typer.Option()] = None,
    channels: Annotated[ChannelOrder | None, typer.Option(help="What the network is fed.")] = None,
    mean: Annotated[Three | None, typer.Option(help="A channel, on the scale 0 to 255.")] = None,
    std: Annotated[Three | None, typer.Option(help="A channel, on the scale 0 to 255.")] = None,
    replace_: Annotated[
        bool, typer.Option("--replace", help="Replace an import of that name.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Take in weights of your own: RESNET_MODELS=NAME serves them."""
    if not file.exists():
        end(f"{file} can't be imported. There is no such file.")
    store = make_artifact_cache(settings_with(home=home))
    try:
        check_name(name)
        if not replace_ and any(one.name == name for one in store.list_custom()):
            raise ConversionFailed(f"{name} is imported already: --replace replaces it.")
        alike = None if like is None else find_checkpoint(like)
        fed = {
            "resize_edge": resize,
            "crop_size": crop,
            "interpolation": interpolation,
            "channel_order": channels,
            "mean": mean,
            "std": std,
        }
        # Reading weights imports h5py and more, which no other command should wait for.
        from model_builder.checkpoints.formats import tfjs
        from model_builder.checkpoints.loader import read_checkpoint

        published = read_checkpoint(file)
        # A TensorFlow.js model is a folder; its model.json stands for it.
        described = file / tfjs.MODEL if file.is_dir() else file
        if depth is not None and depth != published.depth:
            raise ConversionFailed(f"The file holds a {published.network}. Received: {depth}")
        stated: dict[str, Any] = {
            "shortcut": shortcut,
            "stride_in_1x1": _or_like(
                None if variant is None else variant == "v1",
                published.stride_in_1x1,
                None if alike is None else alike.architecture.stride_in_1x1,
            ),
            "batch_norm_epsilon": _or_like(
                epsilon,
                published.batch_norm_epsilon,
                None if alike is None else alike.architecture.batch_norm_epsilon,
            ),
        }
        stated["activation"] = activation
        missing = published.unstated(**stated)
        missing += _unstated_preprocessing(alike, fed) + _unnamed(labels, published.classes)
        if missing:
            raise ConversionFailed("\n- ".join(["This is missing:", *missing]))
        architecture = published.architecture(**stated)
        checkpoint = CustomCheckpoint(
            name=name,
            architecture=architecture,
            preprocessing=_preprocessing(alike, fed),
            labels=imagenet1k() if labels is None else read_labels(labels),
            source=f"file:{file.name}",
            digest=f"sha256-{checksum(described, 'sha256')}",
        )
        store.add(checkpoint, published.tensors)
    except (BuilderError, ValueError, OSError) as error:
        end(f"{file} can't be imported. {error}")
    typer.echo(
        f"{name}: {architecture.name}, shortcuts {architecture.shortcut}, "
        f"{'v1' if architecture.stride_in_1x1 else 'v1.5'}, {_classifier(architecture)}, "
        f"{architecture.parameters() / 1e6:.1f} M parameters.\n"
        f"Serve it: RESNET_MODELS={name} resnet serve"
    )


def _classifier(architecture: ResNetConfig) -> str:
    """The classes, and what else there is behind the pooled features."""
    layers = [
        f"{layer.width}{' and ReLU' if layer.activation == 'relu' else ''}"
        for layer in architecture.hidden_layers
    ]
    hidden = f" behind dense layers of {', '.join(layers)}" if layers else ""
    independent = ", each with a sigmoid" if architecture.activation == "sigmoid" else ""
    return f"{architecture.classes} classes{independent}{hidden}"


def _or_like(given: T | None, found: T | None, like: T | None) -> T | None:
    """The option; where neither it nor the file settles the value, the one of `--like`."""
    return like if given is None and found is None else given


def _unstated_preprocessing(alike: Checkpoint | None, fed: Mapping[str, Any]) -> list[str]:
    missing = [PREPROCESSING[field] for field, value in fed.items() if value is None]
    if alike is not None or not missing:
        return []
    return [
        "How the network was fed has to be stated: --like CHECKPOINT, or "
        f"{', '.join(PREPROCESSING.values())}. Missing: {', '.join(missing)}."
    ]


def _preprocessing(alike: Checkpoint | None, fed: Mapping[str, Any]) -> Preprocessing:
    """That of the checkpoint of `--like` with what was stated in place of its own."""
    stated = {field: value for field, value in fed.items() if value is not None}
    return Preprocessing(**stated) if alike is None else replace(alike.preprocessing, **stated)


def _unnamed(labels: Path | None, classes: int) -> list[str]:
    if labels is not None or classes == len(imagenet1k()):
        return []
    return [f"The classifier has {classes} classes: name them with --labels FILE."]
