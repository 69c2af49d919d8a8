"""Options of `resnet import`: what the classes are called, and how images are prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from model_builder.artifact.preprocessing import ChannelOrder, Color, Interpolation, ResizeMode
from model_builder.checkpoints.recipe.scale import Scale
from service.cli.options import complete_model

Three = tuple[float, float, float]

LabelsOption = Annotated[
    Path | None,
    typer.Option(
        help="A class a line, JSON, CSV: docs/own.md. config.json beside the weights by default, "
        "or ImageNet's for 1000 classes."
    ),
]
LikeOption = Annotated[
    str | None,
    typer.Option(
        help="A checkpoint with the same preprocessing, variant and epsilon; or timm's "
        "config.json or transformers' preprocessor_config.json, by default those beside the "
        "weights.",
        autocompletion=complete_model,
    ),
]
ResizeOption = Annotated[
    int | None, typer.Option(help="The edge that is resized, in pixels: see --resize-mode.")
]
ResizeModeOption = Annotated[
    ResizeMode | None,
    typer.Option(
        help="The shorter edge is resized (crop, the default), both are (squash, as "
        "Resize((224, 224))), or the longer one is, with borders (letterbox)."
    ),
]
CropOption = Annotated[int | None, typer.Option(help="The square's edge, in pixels.")]
CropFractionOption = Annotated[
    float | None, typer.Option(help="The crop's part of the edge, in place of --resize.")
]
InterpolationOption = Annotated[Interpolation | None, typer.Option(help="The filter.")]
AntialiasOption = Annotated[
    bool | None,
    typer.Option(
        help="By default; not with torchvision's antialias=False on tensors, nor in Keras's "
        "Resizing."
    ),
]
FillOption = Annotated[
    Color | None, typer.Option(help="Of the borders: red, green, blue, 0 to 255.")
]
ChannelsOption = Annotated[
    ChannelOrder | None, typer.Option(help="What the network is fed; L is grey.")
]
MeanOption = Annotated[
    Three | None, typer.Option(help="A channel, for pixels of 0 to 1 or 0 to 255: see --scale.")
]
StdOption = Annotated[
    Three | None, typer.Option(help="A channel, for pixels of 0 to 1 or 0 to 255.")
]
ScaleOption = Annotated[
    Scale | None, typer.Option(help="Of --mean and --std, where their size does not show it.")
]
TryOption = Annotated[
    Path | None,
    typer.Option(
        "--try", help="Build it and classify this image: wrong classes show a wrong recipe."
    ),
]
