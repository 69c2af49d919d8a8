"""resnet serve."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Optional, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from service.cli.options import settings_with
from service.settings import Settings
from service.workers.supervisor import serve as serve_http

MANY = 1_000_000


def _with_an_option_a_setting(command: Callable[..., None]) -> Callable[..., None]:
    """Typer reads a command's options from its signature; here they are the settings' fields."""
    options = {
        name: Annotated[
            Optional[_option_type(field.annotation)],  # noqa: UP045
            typer.Option(
                help=f"{field.description} {default_text(name, field)}".rstrip(),
                rich_help_panel=f"{group}: {(kind.__doc__ or '').strip()}",
            ),
        ]
        for group, kind in Settings.groups().items()
        for name, field in kind.model_fields.items()
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


def _option_type(annotation: Any) -> Any:
    """Typer has no unions; the settings read text."""
    several = [one for one in get_args(annotation) if one is not NoneType]
    is_union = get_origin(annotation) in (Union, UnionType)
    return str if is_union and len(several) > 1 else annotation


def default_text(name: str, field: FieldInfo) -> str:
    """The sentence that states the default; empty where the description does, or none counts."""
    default = field.get_default(call_default_factory=True, validated_data={})
    if any(word in (field.description or "") for word in ("Default: ", "Deprecated: ")):
        return ""
    if default in (None, "") or isinstance(default, bool):
        text = {None: "none", "": "none", True: "yes", False: "no"}[default]
    elif isinstance(default, int) and name.endswith("_bytes"):
        text = f"{default} ({default / 2**20:g} MiB)"
    elif isinstance(default, int) and default >= MANY:
        text = f"{default} ({default / 1e6:g} million)"
    elif isinstance(default, float):
        text = f"{default:g}"
    else:
        text = str(default).replace(str(Path.home()), "~")
    return f"Default: {text}."


@_with_an_option_a_setting
def serve(**given: Any) -> None:
    """Serve over HTTP until SIGTERM or SIGINT: a page at /, POST /predict, the API at /docs.

    Each option is also an environment variable: RESNET_MODELS for --models, and so on.
    """
    raise typer.Exit(serve_http(settings_with(**given)))
