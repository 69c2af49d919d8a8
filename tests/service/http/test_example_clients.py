"""The clients of docs/clients.md: what they do when they are refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.auth.api_keys import hash_of
from service.errors import QueueFull, Unavailable
from service.http.middleware.load_shedding import LoadSheddingMiddleware
from tests.service.conftest import MODEL_NAME, Serve, listening
from tests.service.fakes import LABELS
from tests.service.images import plain

CLIENTS = Path(__file__).parents[3] / "examples" / "clients"
COLORS = [label.name for label in LABELS[:3]]
TIMEOUT_SECONDS = 90.0


def missing(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


each_language = pytest.mark.parametrize(
    "language",
    [
        "python",
        pytest.param("node", marks=missing("node")),
        pytest.param("curl", marks=missing("curl")),
    ],
)
each_protocol = pytest.mark.parametrize("protocol", ["predict", "v2", "v1"])


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{color}.png" for color in COLORS]
    for path in paths:
        path.write_bytes(plain(path.stem))
    return [str(path) for path in paths]


def run(
    language: str, protocol: str, port: int, photos: list[str], **environment: str
) -> subprocess.CompletedProcess[str]:
    url = f"http://127.0.0.1:{port}"
    options = ["--url", url, "--model", MODEL_NAME, "--protocol", protocol, *photos]
    command = {
        "python": [sys.executable, str(CLIENTS / "classify.py"), *options],
        "node": ["node", str(CLIENTS / "classify.mjs"), *options],
        "curl": ["sh", str(CLIENTS / "classify.sh"), protocol, *photos],
    }[language]
    return subprocess.run(
        command,
        env={**os.environ, "URL": url, "MODEL": MODEL_NAME, "NO_PROXY": "127.0.0.1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )


def assert_right(done: subprocess.CompletedProcess[str], photos: list[str]) -> None:
    """A line for each photo, with its color."""
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(photos)
    for color in (Path(photo).stem for photo in photos):
        assert any(color in line for line in lines), done.stdout
    # curl prints whole answers; the others name the photo.
    for line in lines:
        if "\t" in line:
            photo, label, probability = line.split("\t")
            assert Path(photo).stem == label
            assert 0.5 < float(probability) <= 1


@each_language
@each_protocol
def test_a_refused_request_comes_back_after_retry_after_and_not_before(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, photos: list[str], language: str, protocol: str
) -> None:
    """A client that came sooner would be refused once more."""
    arrived: list[float] = []

    def full(_self: object, _scope: object, _target: object, now: float) -> Unavailable | None:
        arrived.append(now)
        early = now < arrived[0] + 1
        return QueueFull("full", retry_after_seconds=1) if early else None

    monkeypatch.setattr(LoadSheddingMiddleware, "_error", full)
    with listening(serve().app) as port:
        assert_right(run(language, protocol, port, photos[:1]), photos[:1])
    assert len(arrived) == 2


@each_language
def test_every_photo_is_classified_under_a_rate_limit(
    serve: Serve, photos: list[str], language: str
) -> None:
    service = serve(rate_limit_per_second=1, rate_limit_burst=1)
    with listening(service.app) as port:
        assert_right(run(language, "predict", port, photos), photos)
    assert service.sample("resnet_rejections_total", reason="rate_limited")


@each_language
def test_a_refusal_for_too_long_is_reported(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, photos: list[str], language: str
) -> None:
    arrived = []

    def full(*_: object) -> Unavailable:
        arrived.append(1)
        return QueueFull("all places are taken", retry_after_seconds=3600)

    monkeypatch.setattr(LoadSheddingMiddleware, "_error", full)
    with listening(serve().app) as port:
        done = run(language, "v2", port, photos[:1])
    assert done.returncode != 0
    assert "all places are taken" in done.stdout + done.stderr
    assert "503" in done.stderr
    assert len(arrived) == 1


@each_language
@each_protocol
def test_a_key_is_sent_and_a_wrong_one_is_an_error_at_once(
    serve: Serve, tmp_path: Path, photos: list[str], language: str, protocol: str
) -> None:
    (tmp_path / "keys").write_text(f"{hash_of('alpha')} shop\n")
    service = serve(api_keys_file=tmp_path / "keys")
    with listening(service.app) as port:
        assert_right(run(language, protocol, port, photos, API_KEY="alpha"), photos)
        done = run(language, protocol, port, photos[:1], API_KEY="beta")
    assert done.returncode != 0
    assert "401" in done.stderr
    assert service.sample("resnet_rejections_total", reason="unauthorized") == 1
