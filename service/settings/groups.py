"""The groups of settings, each of one area."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path
from pydantic import AliasChoices, Field

from service.settings.group import Group
from service.settings.types import Networks, Origins, RootPath, Seconds, Workers

DEFAULT_MODEL = "resnet50"
# Old name -> new name. The old name still works; `deprecated_variables` reports it.
RENAMED = {
    "RESNET_MODEL": "RESNET_MODELS",
    "RESNET_DECODE_THREADS": "RESNET_DECODE_WORKERS",
    "RESNET_CANARY_INTERVAL_SECONDS": "RESNET_SELF_TEST_INTERVAL_SECONDS",
    "RESNET_UNWELL_EXIT_SECONDS": "RESNET_UNHEALTHY_EXIT_SECONDS",
}


def _names(variable: str) -> AliasChoices:
    """The variable and the old names that still stand for it."""
    return AliasChoices(variable, *(old for old, new in RENAMED.items() if new == variable))


class ModelSettings(Group):
    """Which models are served, in what precision, where, and from which files."""

    models: str = Field(
        DEFAULT_MODEL,
        description="Models to serve, separated by commas: depths, checkpoints, or paths of "
        "artifact folders. The first is the default; `?model=` selects another.",
    )
    model: str = Field("", description="Deprecated: use RESNET_MODELS. The default model.")
    served_name: str = Field(
        "",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$",
        description="One more name of the default model, and the one under which /v1 and /v2 list "
        "it: KServe's clients send a name without dots.",
    )
    precision: Literal["auto", "auto-int8", "float32", "bfloat16", "float16", "int8"] = Field(
        "auto",
        description="Precision of the network. auto: bfloat16 where the hardware supports it, "
        "else float32. int8: CPU only. auto-int8: int8 on a CPU, on a GPU as auto.",
    )
    engine: str = Field(
        "auto",
        description="What computes: openvino, tensorflow or litert. auto: tensorflow on a GPU, "
        "openvino on a CPU; on one that is not x86-64, int8 is served by the faster of the engines "
        "whose artifacts are there.",
    )
    min_agreement_percent: float = Field(
        75.0,
        ge=0,
        le=100,
        description="An int8 artifact that agrees with float32 less often is not served.",
    )
    abstain_below: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="A prediction with less confidence, or probability where the model is not "
        'calibrated, is answered with `"abstained": true`. Default: no threshold.',
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="auto: every GPU that TensorFlow finds, else the CPU."
    )
    cpu_threads: int | None = Field(
        None, ge=1, description="Threads for inference. Default: the CPUs of this process."
    )
    home: Path = Field(
        default_factory=lambda: user_cache_path("resnet-server"),
        description="Cache folder for published files and built artifacts.",
    )
    checkpoint_file: Path | None = Field(
        None, description="The checkpoint's published file, already on this machine."
    )
    mirror: str | None = Field(
        None,
        pattern=r"^https?://[^/]",
        description="Prefix that replaces https:// in the addresses of published files.",
    )
    offline: bool = Field(False, description="Download nothing; use the cache only.")
    fetch_timeout_seconds: Seconds = Field(
        3600.0, gt=0, description="Time limit for the download of one published file."
    )

    @property
    def names(self) -> tuple[str, ...]:
        """Every model to serve, the default first, each once."""
        given = [self.model] if self.model else []
        if not given or "models" in self.model_fields_set:
            given += self.models.split(",")
        names = (name.strip() for name in given)
        return tuple(dict.fromkeys(name for name in names if name)) or (DEFAULT_MODEL,)

    @property
    def default(self) -> str:
        """The model that answers a request that names none."""
        return self.names[0]


class HttpSettings(Group):
    """The listener, its connections, and the time limits of requests and of the shutdown."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 selects a free one.")
    workers: Workers = Field(
        1,
        description="Processes that serve on the port, each with its share of the CPUs, GPUs and "
        "memory, 1 to 256, or auto: one for every 8 CPUs, and as many for each GPU. A rate limit, "
        "the queue and connections are counted by each.",
    )
    root_path: RootPath = Field(
        "",
        description="Path prefix under which a proxy serves this, such as /resnet, whether the "
        "proxy strips it or not.",
    )
    request_timeout_seconds: Seconds = Field(
        30.0, gt=0, description="A request without an answer by then gets 504."
    )
    drain_seconds: Seconds = Field(
        0.0, ge=0, description="After SIGTERM the service is not ready but serves for this long."
    )
    shutdown_timeout_seconds: Seconds = Field(
        25.0, gt=0, description="Time limit for open requests after the listener is closed."
    )
    keep_alive_timeout_seconds: int = Field(
        75, ge=1, description="Idle connections stay open this long; exceed the load balancer's."
    )
    write_timeout_seconds: Seconds = Field(
        30.0,
        gt=0,
        description="A client that takes less than 64 KiB of its answer in this time is left.",
    )
    max_connections: int | None = Field(
        None,
        ge=1,
        description="Open connections at once, shared between clients by address; gRPC, where it "
        "is served, has a quarter of them, and health probes an eighth of the others. "
        "Default: 1000, or what the limit on open files allows.",
    )


class BatchingSettings(Group):
    """Batch sizes and the queue in front of the device."""

    max_batch_size: int | None = Field(
        None, ge=1, le=1024, description="Largest batch. Default: measured at start."
    )
    queue_limit: int = Field(
        256,
        ge=1,
        description="Images that may wait for the device; of one client, all but an eighth.",
    )
    queue_wait_limit_seconds: Seconds = Field(
        10.0, gt=0, description="A request with a longer expected wait gets 503."
    )


class LimitsSettings(Group):
    """What one request may contain, and what its decoding may cost."""

    decode_workers: int | None = Field(
        None,
        ge=1,
        validation_alias=_names("RESNET_DECODE_WORKERS"),
        description="Processes that decode quick images, as many that decode those of a client "
        "with very many, and as many that decode slow ones. Default: the CPUs of this process.",
    )
    decode_timeout_seconds: Seconds = Field(
        10.0, gt=0, description="An image that takes more of a CPU to decode is refused."
    )
    max_body_bytes: int = Field(20 * 2**20, ge=1, description="Largest request body.")
    max_pending_bytes: int | None = Field(
        None,
        ge=1,
        description="Bytes of bodies, decoded images and large answers that requests hold at once; "
        "beyond it, 503. At least twice RESNET_MAX_BODY_BYTES. Default: an eighth of the memory "
        "limit.",
    )
    max_image_pixels: int = Field(
        50_000_000, ge=1, le=178_956_970, description="Largest image, width times height."
    )
    max_image_frames: int = Field(
        1000, ge=1, description="Most frames or pages in a file; only the first is classified."
    )
    max_request_pixels: int = Field(
        400_000_000, ge=1, description="Most pixels of all images of one request together."
    )
    max_files: int = Field(32, ge=1, description="Most images in one request.")


class SecuritySettings(Group):
    """Who may send requests, and how often."""

    api_keys_file: Path | None = Field(
        None, description="Hashes of the accepted API keys; read again when the file changes."
    )
    rate_limit_per_second: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Images a second for each client."
    )
    rate_limit_burst: int = Field(
        20,
        ge=1,
        description="Images that a client may send at once; a request with more is possible.",
    )
    trusted_proxies: Networks = Field(
        "",
        description="Addresses and networks of proxies, separated by commas, whose "
        "X-Forwarded-For is believed. Default: nobody's.",
    )
    cors_origins: Origins = Field(
        "",
        description="Origins of web pages that may use this from a browser, such as "
        "https://shop.example, separated by commas; * for any. Default: none but its own page.",
    )


class ObservabilitySettings(Group):
    """Logs and self-tests."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="auto: text on a terminal, else one JSON object a line."
    )
    self_test_interval_seconds: Seconds = Field(
        5.0,
        ge=0,
        validation_alias=_names("RESNET_SELF_TEST_INTERVAL_SECONDS"),
        description="Time between self-tests through the queue; 0 turns them off.",
    )
    unhealthy_exit_seconds: Seconds = Field(
        30.0,
        ge=0,
        validation_alias=_names("RESNET_UNHEALTHY_EXIT_SECONDS"),
        description="With a worker or self-test failing for this long, exit with 4; 0: never.",
    )
