"""Builds ResNets and turns published or imported weights into artifacts.

The public names are imported at their first use: `import model_builder` imports neither Keras nor
TensorFlow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_builder.artifact.manifest import Artifact
    from model_builder.artifact.preprocessing import Preprocessing
    from model_builder.artifact.store_format import read_artifact
    from model_builder.checkpoints.catalog import CHECKPOINTS
    from model_builder.checkpoints.checkpoint import Checkpoint
    from model_builder.networks.config import ResNetConfig
    from model_builder.networks.resnet import build_resnet

__all__ = [
    "CHECKPOINTS",
    "Artifact",
    "Checkpoint",
    "Preprocessing",
    "ResNetConfig",
    "build_resnet",
    "read_artifact",
]

_MODULES = {
    "Artifact": "artifact.manifest",
    "CHECKPOINTS": "checkpoints.catalog",
    "Checkpoint": "checkpoints.checkpoint",
    "Preprocessing": "artifact.preprocessing",
    "ResNetConfig": "networks.config",
    "build_resnet": "networks.resnet",
    "read_artifact": "artifact.store_format",
}


def __getattr__(name: str) -> Any:
    """Imports a public name from its module. Raises AttributeError for every other name."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
