"""Options that several commands share, and the settings that come of them."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from pydantic import ValidationError

from model_builder.system.printable import printable_lines
from service.settings import PREFIX, Settings


def complete_model(incomplete: str) -> list[str]:
    """The names that a shell offers: the catalog's and the imports'."""
    from model_builder.checkpoints.catalog import all_names
    from service.inference.artifacts import make_artifact_cache

    imported: list[str] = []
    # The command itself says what is wrong with the environment.
    with suppress(ValidationError):
        imported = [one.name for one in make_artifact_cache(Settings()).list_custom()]
    return [name for name in (*all_names(), *imported) if name.startswith(incomplete)]


ModelOption = Annotated[
    str | None,
    typer.Option(
        help="A depth (resnet50), a checkpoint, or an artifact folder.",
        metavar="NAME",
        autocompletion=complete_model,
    ),
]
PrecisionOption = Annotated[
    Literal["auto", "auto-int8", "float32", "bfloat16", "float16", "int8"] | None,
    typer.Option(
        help="Precision of the network. auto: bfloat16 where the hardware supports it, or float32."
    ),
]
EngineOption = Annotated[
    str | None, typer.Option(help="What computes: auto, openvino, tensorflow or litert.")
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "gpu"] | None,
    typer.Option(help="auto: every GPU that TensorFlow finds, else the CPU."),
]
HomeOption = Annotated[
    Path | None,
    typer.Option(help="Cache folder, in place of RESNET_HOME.", metavar="FOLDER"),
]
FileOption = Annotated[
    Path | None, typer.Option(help="The checkpoint's published file, already on this machine.")
]
NamesArgument = Annotated[
    list[str],
    typer.Argument(help="Depths or checkpoints.", metavar="NAME", autocompletion=complete_model),
]
# One of them.
ModelArgument = Annotated[
    str,
    typer.Argument(
        help="A depth, a checkpoint or an import.", metavar="MODEL", autocompletion=complete_model
    ),
]
Variant = Literal["v1", "v1.5"]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


def settings_with(**given: Any) -> Settings:
    """The environment's settings, with those in `given` that are not None taking precedence.

    Ends the program with a message where a value is invalid.
    """
    try:
        return Settings.of(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        end(
            "\n".join(
                f"{PREFIX}{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}. "
                f"Received: {one['input']!r}"
                for one in error.errors()
            )
        )


def end(message: str) -> NoReturn:
    """Says why on stderr and exits with 2."""
    say(message, err=True)
    sys.exit(2)


def say(message: object, *, err: bool = False) -> None:
    """Prints it as data: a name or a message in it can't steer the terminal."""
    typer.echo(printable_lines(str(message)), err=err)
