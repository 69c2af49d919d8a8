"""How a group of settings is read."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "RESNET_"


class Group(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        env_ignore_empty=True,
        populate_by_name=True,
        loc_by_alias=False,
        extra="forbid",
    )
