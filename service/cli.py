"""The `resnet` command."""

from __future__ import annotations

from typing import Annotated

import typer

from service import __version__
from service.commands.describe import describe
from service.commands.evaluate import evaluate
from service.commands.import_ import import_
from service.commands.models import models
from service.commands.predict import predict
from service.commands.pull import pull
from service.commands.quantize import quantize
from service.commands.remove import remove
from service.commands.serve import serve
from service.commands.verify import verify

main = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


# Eager: it is answered before a command is missed.
VersionOption = Annotated[
    bool,
    typer.Option(
        "--version", help="Print the version and end.", callback=_print_version, is_eager=True
    ),
]


@main.callback()
def resnet(_version: VersionOption = False) -> None:
    """ResNet-18 to 152: pictures in, classes out.

    Every option has an environment variable too: RESNET_MODEL for --model, and so on.
    """


COMMANDS = (
    serve,
    models,
    describe,
    predict,
    import_,
    pull,
    quantize,
    evaluate,
    verify,
    remove,
)
for command in COMMANDS:
    main.command(command.__name__.rstrip("_"))(command)
