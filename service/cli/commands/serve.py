"""resnet serve."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Optional

import typer

from service.cli.options import settings_with
from service.http.server import serve as serve_http
from service.settings import Settings


def _with_an_option_a_setting(command: Callable[..., None]) -> Callable[..., None]:
    """Typer reads a command's options from its signature; here they are the settings' fields."""
    options = {
        name: Annotated[Optional[field.annotation], typer.Option(help=field.description)]  # noqa: UP045
        for name, field in Settings.fields().items()
    }
    kind = inspect.Parameter.KEYWORD_ONLY
    command.__annotations__ = {**options, "return": None}
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, kind, default=None, annotation=option)
            for name, option in options.items()
        ]
    )
    return command


@_with_an_option_a_setting
def serve(**given: Any) -> None:
    """Serve over HTTP until SIGTERM or SIGINT."""
    raise typer.Exit(serve_http(settings_with(**given)))
