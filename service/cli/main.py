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

# The module of each command by the part of the help that it is in; its function has the command's
# name, but for `import`.
PANELS = {
    "Classify images": {"serve": "serve", "predict": "predict", "score": "score", "ray": "ray"},
    "Models": {
        "models": "models",
        "describe": "describe",
        "import": "import_",
        "pull": "pull",
        "quantize": "quantize",
        "remove": "remove",
    },
    "Measure and check": {
        "evaluate": "measure.evaluate",
        "calibrate": "measure.calibrate",
        "bench": "measure.bench",
        "verify": "measure.verify",
    },
}
MODULES = {name: module for panel in PANELS.values() for name, module in panel.items()}


class Commands(MutableMapping[str, Any]):
    """The commands by name, each imported when it is asked for: a service that starts has no use
    for what draws tables and networks.
    """

    def __init__(self) -> None:
        self._imported: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._imported:
            with gc_paused():
                module = import_module(f"service.cli.commands.{MODULES[name]}")
            function = module.__name__.rpartition(".")[2]
            made = _command(name, getattr(module, function))
            made.rich_help_panel = next(panel for panel in PANELS if name in PANELS[panel])
            self._imported[name] = made
        return self._imported[name]

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)

    def __setitem__(self, name: str, command: Any) -> None:
        self._imported[name] = command

    def __delitem__(self, name: str) -> None:
        del self._imported[name]


def _command(name: str, made: Any) -> Any:
    """made: a function, or an application of several commands."""
    if isinstance(made, typer.Typer):
        group = typer.main.get_command(made)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name)(made)
    return typer.main.get_command(alone)


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

    `resnet serve` starts a server on port 8000; `resnet predict photo.jpg` needs none. Both
    download a model when they first need it.

    RESNET_ variables of the environment hold for every command: docs/configuration.md lists them.
    An option takes precedence over its variable.
    """
