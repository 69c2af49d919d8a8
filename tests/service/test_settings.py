"""What can be set, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import (
    PREFIX,
    RENAMED,
    Settings,
    deprecated_variables,
    unknown_variables,
)


def setting(name: str) -> object:
    (group,) = (key for key, kind in Settings.groups().items() if name in kind.model_fields)
    return getattr(getattr(Settings(), group), name)


def test_without_a_variable_it_serves_resnet50_to_this_machine_alone() -> None:
    settings = Settings()
    assert (settings.model.default, settings.http.host, settings.http.port) == (
        "resnet50",
        "127.0.0.1",
        8000,
    )
    assert (settings.model.precision, settings.model.device) == ("auto", "auto")
    assert settings.batching.max_batch_size is None


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("model", "resnet101", "resnet101"),
        ("models", "resnet101,resnet152", "resnet101,resnet152"),
        ("served_name", "my-net", "my-net"),
        ("precision", "bfloat16", "bfloat16"),
        ("min_agreement_percent", "80", 80.0),
        ("device", "gpu", "gpu"),
        ("home", "/srv/models", Path("/srv/models")),
        ("checkpoint_file", "/srv/weights.h5", Path("/srv/weights.h5")),
        ("mirror", "https://mirror.example/", "https://mirror.example/"),
        ("offline", "true", True),
        ("fetch_timeout_seconds", "60", 60.0),
        ("host", "0.0.0.0", "0.0.0.0"),
        ("port", "0", 0),
        ("grpc_port", "8001", 8001),
        ("v2_input", "image", "image"),
        ("tls_cert_file", "/etc/tls/tls.crt", Path("/etc/tls/tls.crt")),
        ("tls_key_file", "/etc/tls/tls.key", Path("/etc/tls/tls.key")),
        ("cpu_threads", "4", 4),
        ("decode_workers", "3", 3),
        ("decode_timeout_seconds", "2.5", 2.5),
        ("max_batch_size", "16", 16),
        ("queue_limit", "1", 1),
        ("queue_wait_limit_seconds", "0.3", 0.3),
        ("request_timeout_seconds", "0.5", 0.5),
        ("drain_seconds", "15", 15.0),
        ("shutdown_timeout_seconds", "10", 10.0),
        ("self_test_interval_seconds", "2.5", 2.5),
        ("unhealthy_exit_seconds", "60", 60.0),
        ("keep_alive_timeout_seconds", "5", 5),
        ("write_timeout_seconds", "7.5", 7.5),
        ("max_connections", "100", 100),
        ("max_body_bytes", "1000", 1000),
        ("max_pending_bytes", "1000", 1000),
        ("max_image_pixels", "1000000", 1_000_000),
        ("max_image_frames", "1", 1),
        ("max_request_pixels", "2000000", 2_000_000),
        ("max_files", "1", 1),
        ("engine", "tensorflow", "tensorflow"),
        ("max_pending_bytes", "1000000", 1_000_000),
        ("api_keys_file", "/etc/resnet/keys", Path("/etc/resnet/keys")),
        ("rate_limit_per_second", "2.5", 2.5),
        ("rate_limit_burst", "5", 5),
        ("trusted_proxies", "10.0.0.7, fd00::/8", "10.0.0.7, fd00::/8"),
        ("cors_origins", "https://shop.example", "https://shop.example"),
        ("root_path", "/apps/resnet/", "/apps/resnet"),
        ("workers", "4", 4),
        ("abstain_below", "0.5", 0.5),
        ("log_level", "debug", "debug"),
        ("log_format", "json", "json"),
    ],
)
def test_every_setting_is_a_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), text)
    assert setting(name) == value
    assert unknown_variables() == []


def test_the_table_above_is_whole() -> None:
    (mark,) = test_every_setting_is_a_variable.pytestmark  # type: ignore[attr-defined]
    assert {row[0] for row in mark.args[1]} == set(Settings.fields())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("precision", "int4"),
        ("device", "tpu"),
        ("mirror", "mirror.test"),
        ("mirror", "https://"),
        ("offline", "perhaps"),
        ("fetch_timeout_seconds", "0"),
        ("fetch_timeout_seconds", "inf"),
        ("workers", "0"),
        ("abstain_below", "1.5"),
        ("port", "65536"),
        ("port", "-1"),
        ("port", "http"),
        ("cpu_threads", "0"),
        ("decode_workers", "0"),
        ("decode_timeout_seconds", "0"),
        ("max_batch_size", "0"),
        ("max_batch_size", "2000"),
        ("queue_limit", "0"),
        ("request_timeout_seconds", "0"),
        ("request_timeout_seconds", "nan"),
        ("request_timeout_seconds", "inf"),
        ("shutdown_timeout_seconds", "-1"),
        ("shutdown_timeout_seconds", "inf"),
        ("keep_alive_timeout_seconds", "0"),
        ("max_body_bytes", "0"),
        ("max_body_bytes", "20MB"),
        ("max_image_pixels", "0"),
        ("max_image_frames", "0"),
        ("max_image_pixels", "200000000"),
        ("max_files", "0"),
        ("trusted_proxies", "*"),
        ("trusted_proxies", "10.0.0.1,nginx"),
        ("trusted_proxies", "10.0.0.1/8"),
        ("cors_origins", "shop.example"),
        ("cors_origins", "https://shop.example/"),
        ("cors_origins", "https://Shop.example"),
        ("cors_origins", "https://shop.example https://other.example"),
        ("root_path", "apps"),
        ("root_path", "/apps//resnet"),
        ("root_path", '/"><script>'),
        ("root_path", "/v1"),
        ("root_path", "/models/resnet"),
        ("log_level", "loud"),
        ("log_format", "xml"),
    ],
)
def test_nonsense_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), text)
    with pytest.raises(ValidationError) as refusal:
        Settings()
    (error,) = refusal.value.errors()
    assert error["loc"] == (name,)
    assert error["input"] == text


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `docker run -e RESNET_PORT=` leaves it."""
    for name in Settings.fields():
        monkeypatch.setenv(PREFIX + name.upper(), "")
    assert Settings().http.port == 8000


def test_variables_that_look_like_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_PROT", "8000")
    monkeypatch.setenv("RESNET_THREADS", "4")
    monkeypatch.setenv("RESNET_PORT", "8000")
    monkeypatch.setenv("OTHER_PORT", "1")
    assert unknown_variables() == ["RESNET_PROT", "RESNET_THREADS"]


@pytest.mark.parametrize(
    ("model", "models", "names"),
    [
        ("", "", ("resnet50",)),
        ("", "b", ("b",)),
        ("", " b , c,", ("b", "c")),
        ("", "c,b,c", ("c", "b")),
        ("a", "", ("a",)),
        ("a", "c,a,b,c", ("a", "c", "b")),
    ],
)
def test_the_default_model_comes_first_and_each_once(
    monkeypatch: pytest.MonkeyPatch, model: str, models: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("RESNET_MODEL", model)
    monkeypatch.setenv("RESNET_MODELS", models)
    assert Settings().model.names == names
    assert Settings().model.default == names[0]


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_still_works_and_is_reported(
    monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    monkeypatch.setenv(old, "7")
    assert str(
        setting(
            old.removeprefix(PREFIX).lower()
            if old == "RESNET_MODEL"
            else new.removeprefix(PREFIX).lower()
        )
    ) in ("7", "7.0")
    assert deprecated_variables() == {old: new}
    assert unknown_variables() == []


def test_flat_names_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_PORT", "1")
    settings = Settings.of(port=2, queue_limit=3)
    assert (settings.http.port, settings.batching.queue_limit) == (2, 3)
    with pytest.raises(TypeError, match="prot"):
        Settings.of(prot=2)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().http.port = 1  # type: ignore[misc]


def test_every_setting_is_explained() -> None:
    unexplained = {name for name, field in Settings.fields().items() if not field.description}
    assert unexplained <= {"log_level"}
