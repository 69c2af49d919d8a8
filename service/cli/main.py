"""The `resnet` command."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from model_builder.system.gc_control import gc_paused
from model_builder.system.printable import printable_lines
from service.version import __version__

NAMES = (
    "serve",
    "models",
    "describe",
    "predict",
    "import",
    "pull",
    "quantize",
    "evaluate",
    "calibrate",
    "bench",
    "verify",
    "remove",
)


class Commands(MutableMapping[str, Any]):
    """The commands by name, each imported when it is asked for: a service that starts has no use
    for what draws tables and networks.
    """

    def __init__(self) -> None:
        self._imported: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in NAMES:
            raise KeyError(name)
        if name not in self._imported:
            function = "import_" if name == "import" else name
            with gc_paused():
                module = import_module(f"service.cli.commands.{function}")
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            alone.command(name)(getattr(module, function))
            self._imported[name] = typer.main.get_command(alone)
        return self._imported[name]

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)

    def __setitem__(self, name: str, command: Any) -> None:
        self._imported[name] = command

    def __delitem__(self, name: str) -> None:
        del self._imported[name]


class Resnet(TyperGroup):
    """Has `Commands` in place of a dictionary of them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands()

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with plain_messages():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with plain_messages():
            return super().invoke(ctx)


@contextmanager
def plain_messages() -> Iterator[None]:
    """Escapes what an error says of arguments: a shell's pattern may have put any name there."""
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            error.message = printable_lines(message)  # type: ignore[attr-defined]
        raise


main = typer.Typer(cls=Resnet, no_args_is_help=True, pretty_exceptions_enable=False)


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
    """ResNet-18 to 152: images in, classes out.

    Every option has an environment variable too: RESNET_MODELS for --models, and so on.
    """
