"""Images in, classes out: serves artifacts of the ResNet family over HTTP.

`create_app` is imported at its first use: `import service` imports no other module.

"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from service.version import __version__

if TYPE_CHECKING:
    from service.http.app import create_app

__all__ = ["__version__", "create_app"]


def __getattr__(name: str) -> Any:
    if name == "create_app":
        return import_module("service.http.app").create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
