"""What can be set: each by an environment variable `RESNET_...` or an option of `resnet serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "RESNET_"


class Settings(BaseSettings):
    """Read once at start and passed down. Refuses values that make no sense."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    model: str = Field(
        "resnet50",
        min_length=1,
        description="A depth, a checkpoint, or the path of an artifact folder.",
    )
    models: str = Field(
        "", description="More models to serve at once, separated by commas; `?model=` chooses."
    )
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        "auto",
        description="What the network computes in. auto: bfloat16 where the hardware has it. "
        "int8: on a CPU, without TensorFlow.",
    )
    min_agreement_percent: float = Field(
        75.0,
        ge=0,
        le=100,
        description="An int8 artifact that agrees with float32 less often is not served.",
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="auto: every GPU that TensorFlow sees, else the CPU."
    )
    home: Path = Field(
        default_factory=lambda: user_cache_path("resnet-server"),
        description="The cache: published files and built artifacts.",
    )
    checkpoint_file: Path | None = Field(
        None, description="The checkpoint's published file, already on this machine."
    )
    mirror: str | None = Field(
        None,
        pattern=r"^https?://[^/]",
        description="In front of the addresses of published files, in place of their https://.",
    )
    offline: bool = Field(False, description="Fetch nothing: use what is in the cache.")
    fetch_timeout_seconds: float = Field(
        3600.0,
        gt=0,
        allow_inf_nan=False,
        description="A published file that has not come by then is given up.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    cpu_threads: int | None = Field(
        None, ge=1, description="Threads for inference. By default the CPUs it may use."
    )
    decode_workers: int | None = Field(
        None, ge=1, description="Processes that decode. By default the CPUs it may use."
    )
    decode_timeout_seconds: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="An image that takes longer to decode is refused.",
    )
    max_batch_size: int | None = Field(
        None, ge=1, le=1024, description="Most images in a batch. By default measured at start."
    )
    queue_limit: int = Field(256, ge=1, description="Images that may wait for the device.")
    queue_wait_limit_seconds: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="A request that is expected to wait longer for the device gets 503.",
    )
    request_timeout_seconds: float = Field(
        30.0, gt=0, allow_inf_nan=False, description="A request without an answer by then gets 504."
    )
    drain_seconds: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="After SIGTERM it says not ready, and serves on for so long.",
    )
    shutdown_timeout_seconds: float = Field(
        25.0,
        gt=0,
        allow_inf_nan=False,
        description="What is under way when it stops listening may take this long.",
    )
    self_test_interval_seconds: float = Field(
        5.0,
        ge=0,
        allow_inf_nan=False,
        description="Between images of its own that test the queue; 0 sends none.",
    )
    unhealthy_exit_seconds: float = Field(
        30.0,
        ge=0,
        allow_inf_nan=False,
        description="With a worker or canary wrong for so long, it exits with 4; 0 never.",
    )
    keep_alive_timeout_seconds: int = Field(
        75, ge=1, description="Idle connections stay open; keep it above the balancer's."
    )
    max_body_bytes: int = Field(20 * 2**20, ge=1, description="Largest request body.")
    max_image_pixels: int = Field(
        50_000_000, ge=1, le=178_956_970, description="Largest image, width times height."
    )
    max_image_frames: int = Field(
        1000,
        ge=1,
        description="Most frames, pages or images in a file, of which the first is seen.",
    )
    max_files: int = Field(32, ge=1, description="Images in one request.")
    api_keys_file: Path | None = Field(
        None, description="Hashes of the API keys that are let in; read again when it changes."
    )
    rate_limit_per_second: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Requests a second of one client."
    )
    rate_limit_burst: int = Field(
        20, ge=1, description="Requests that a client may make at once, where that is limited."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is logged."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="auto: text on a terminal, else a JSON object a line."
    )

    @property
    def model_names(self) -> tuple[str, ...]:
        """Every model to serve, the default first, each once."""
        more = (name.strip() for name in self.models.split(","))
        return tuple(dict.fromkeys(name for name in (self.model, *more) if name))


def unknown_variables() -> list[str]:
    """Variables that look like ours and are not: misspelt, or another program's."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
