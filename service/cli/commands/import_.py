"""resnet import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from model_builder.artifact.checksums import checksum
from model_builder.checkpoints.custom import CustomCheckpoint, check_name
from model_builder.checkpoints.recipe.files import Beside
from model_builder.checkpoints.recipe.problems import Problems, check_channels, check_epsilon
from model_builder.checkpoints.recipe.settle import settle
from model_builder.checkpoints.recipe.sources import find_labels, find_like, recipe_sources
from model_builder.checkpoints.recipe.view import view
from model_builder.errors import BuilderError, ConversionFailed
from model_builder.networks.config import ResNetConfig, Shortcut
from model_builder.networks.head import Activation
from model_builder.system.printable import printable
from service.cli.commands.predict import predict
from service.cli.options import HomeOption, Variant, end, settings_with
from service.cli.recipe_options import (
    AntialiasOption,
    ChannelsOption,
    CropFractionOption,
    CropOption,
    FillOption,
    InterpolationOption,
    LabelsOption,
    LikeOption,
    MeanOption,
    ResizeModeOption,
    ResizeOption,
    ScaleOption,
    StdOption,
    TryOption,
)
from service.inference.artifacts import make_artifact_cache

T = TypeVar("T")


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="Weights: .pth, .ckpt, .safetensors, .h5, .keras, .onnx, ...; a folder."
        ),
    ],
    name: Annotated[str, typer.Option(help="What it will be called.")],
    key: Annotated[
        str | None,
        typer.Option(help="Where in a PyTorch file, if it holds several; by default its EMA."),
    ] = None,
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
    labels: LabelsOption = None,
    like: LikeOption = None,
    resize: ResizeOption = None,
    resize_mode: ResizeModeOption = None,
    crop: CropOption = None,
    crop_fraction: CropFractionOption = None,
    interpolation: InterpolationOption = None,
    antialias: AntialiasOption = None,
    fill: FillOption = None,
    channels: ChannelsOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    scale: ScaleOption = None,
    try_: TryOption = None,
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
        # Reading weights imports h5py and more, which no other command should wait for.
        from model_builder.build.calibration import shipped_crops
        from model_builder.checkpoints.formats.recognition.folders import weights_file
        from model_builder.checkpoints.loader import read_checkpoint
        from model_builder.checkpoints.statistics.check import check_statistics, photos_needed

        alike = None if like is None else find_like(like)
        row = None if alike is None else alike.checkpoint
        # Of a folder, the file that stands for it.
        weights = weights_file(file)
        beside = Beside(weights)
        published = read_checkpoint(weights, key=key, beside=beside)
        if depth is not None and depth != published.depth:
            raise ConversionFailed(f"The file holds a {published.network}. Received: {depth}")
        stated: dict[str, Any] = {
            "shortcut": shortcut,
            "stride_in_1x1": _or_like(
                None if variant is None else variant == "v1",
                published.stride_in_1x1,
                None if row is None else row.architecture.stride_in_1x1,
            ),
            "batch_norm_epsilon": _or_like(
                epsilon,
                published.batch_norm_epsilon,
                None if row is None else row.architecture.batch_norm_epsilon,
            ),
            "activation": activation,
        }
        problems = Problems(published.unstated(**stated))
        with problems.collected():
            check_epsilon(stated["batch_norm_epsilon"])
        settled = found = None
        with problems.collected():
            settled = settle(
                {
                    "resize_edge": resize,
                    "crop_size": crop,
                    "interpolation": interpolation,
                    "channel_order": channels,
                    "mean": mean,
                    "std": std,
                    "resize_mode": resize_mode,
                    "antialias": antialias,
                    "fill": fill,
                },
                recipe_sources(
                    beside,
                    published.recipe,
                    alike,
                    input_channels=published.shown.input_channels,
                ),
                scale=scale,
                crop_fraction=crop_fraction,
            )
            problems.missing += settled.missing
            if settled.preprocessing is not None:
                order = settled.preprocessing.channel_order
                check_channels(order, published.shown.input_channels)
        with problems.collected():
            of_torch = published.format in ("torch", "transformers")
            found = find_labels(labels, weights, beside, published.classes, of_torch=of_torch)
            problems.missing += found.missing
        if try_ is not None and not try_.is_file():
            problems.wrong.append(f"--try {try_}: there is no such file.")
        problems.check()
        assert settled is not None
        assert found is not None
        preprocessing, named = settled.preprocessing, found.labels
        assert preprocessing is not None
        assert named is not None
        architecture = published.architecture(**stated)
        checkpoint = CustomCheckpoint(
            name=name,
            architecture=architecture,
            preprocessing=preprocessing,
            labels=named,
            source=f"file:{file.name}",
            digest=f"sha256-{checksum(weights, 'sha256')}",
        )
        warnings = []
        if published.has_statistics:
            photos = shipped_crops(
                photos_needed(architecture, preprocessing.crop_size), preprocessing
            )
            warnings = check_statistics(published.tensors, architecture, preprocessing, photos)
        store.add(checkpoint, published.tensors)
    except (BuilderError, ValueError, OSError) as error:
        end(f"{file} can't be imported. {error}")
    lines = [
        f"{name}: {architecture.name}, shortcuts {architecture.shortcut}, "
        f"{'v1' if architecture.stride_in_1x1 else 'v1.5'}, {_stem(architecture)}"
        f"{_classifier(architecture)}, "
        f"{architecture.parameters() / 1e6:.1f} M parameters.",
        *published.notes,
        *found.said,
        *settled.said,
        "How it sees an image:",
        *view(preprocessing),
        *warnings,
        f"Serve it: RESNET_MODELS={name} resnet serve",
    ]
    if try_ is None:
        lines.append(f"Try it: resnet predict PHOTO --model {name}, or --try PHOTO with the import")
    typer.echo("\n".join(map(printable, lines)))
    if try_ is not None:
        typer.echo(f"Building {name} to classify {printable(str(try_))}: this takes a minute.")
        predict([try_], model=name, home=home)


def _stem(architecture: ResNetConfig) -> str:
    """What the tensors show of the first layers and not of what follows them."""
    small = "a 3x3 stem with stride 1 and no max pool, " if architecture.stem == "3x3" else ""
    return small + ("one channel (grey), " if architecture.input_channels == 1 else "")


def _classifier(architecture: ResNetConfig) -> str:
    """The classes, and what else there is behind the pooled features."""
    layers = [
        f"{layer.width}{' and ReLU' if layer.activation == 'relu' else ''}"
        for layer in architecture.hidden_layers
    ]
    hidden = f" behind dense layers of {', '.join(layers)}" if layers else ""
    independent = ", each with a sigmoid" if architecture.activation == "sigmoid" else ""
    classes = "1 class" if architecture.classes == 1 else f"{architecture.classes} classes"
    return f"{classes}{independent}{hidden}"


def _or_like(given: T | None, found: T | None, like: T | None) -> T | None:
    """The option; where neither it nor the file settles the value, the one of `--like`."""
    return like if given is None and found is None else given
