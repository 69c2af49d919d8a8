"""The settings of the service: environment variables `RESNET_...`, or options of `resnet serve`.

Each group reads its own variables. The names of variables are flat: RESNET_QUEUE_LIMIT is
`settings.batching.queue_limit`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from service.settings.group import PREFIX
from service.settings.groups import (
    DEFAULT_MODEL,
    RENAMED,
    BatchingSettings,
    HttpSettings,
    LimitsSettings,
    ModelSettings,
    ObservabilitySettings,
    SecuritySettings,
)
from service.settings.transport import GrpcSettings, ProtocolSettings, TlsSettings

__all__ = [
    "DEFAULT_MODEL",
    "PREFIX",
    "RENAMED",
    "BatchingSettings",
    "GrpcSettings",
    "HttpSettings",
    "LimitsSettings",
    "ModelSettings",
    "ObservabilitySettings",
    "ProtocolSettings",
    "SecuritySettings",
    "Settings",
    "TlsSettings",
    "deprecated_variables",
    "unknown_variables",
]


class Settings(BaseModel):
    """Read once at start and passed down. Raises ValidationError on invalid values."""

    model_config = ConfigDict(frozen=True)

    model: ModelSettings = Field(default_factory=ModelSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    grpc: GrpcSettings = Field(default_factory=GrpcSettings)
    protocols: ProtocolSettings = Field(default_factory=ProtocolSettings)
    tls: TlsSettings = Field(default_factory=TlsSettings)
    batching: BatchingSettings = Field(default_factory=BatchingSettings)
    limits: LimitsSettings = Field(default_factory=LimitsSettings)
    security: SecuritySettings = Field(default_factory=SecuritySettings)
    observability: ObservabilitySettings = Field(default_factory=ObservabilitySettings)

    @classmethod
    def groups(cls) -> dict[str, type[BaseSettings]]:
        """Each group's class by its name."""
        return {name: field.annotation for name, field in cls.model_fields.items()}  # type: ignore[misc]

    @classmethod
    def fields(cls) -> dict[str, FieldInfo]:
        """Every setting of every group by its flat name."""
        return {k: v for group in cls.groups().values() for k, v in group.model_fields.items()}

    @classmethod
    def of(cls, **given: Any) -> Settings:
        """The environment's settings, with the flat names in `given` taking precedence.

        Raises ValidationError, or TypeError for an unknown name.
        """
        if unknown := given.keys() - cls.fields().keys():
            raise TypeError(f"Not settings: {', '.join(sorted(unknown))}")
        groups: Mapping[str, BaseSettings] = {
            name: group(**{key: given[key] for key in group.model_fields if key in given})
            for name, group in cls.groups().items()
        }
        return cls(**groups)


def unknown_variables() -> list[str]:
    """RESNET_ variables of the environment that are no setting: misspelt, or another program's."""
    known = {PREFIX + name.upper() for name in Settings.fields()} | RENAMED.keys()
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def deprecated_variables() -> dict[str, str]:
    """Old names that the environment sets, each with the name that replaces it."""
    return {old: new for old, new in RENAMED.items() if os.environ.get(old)}
