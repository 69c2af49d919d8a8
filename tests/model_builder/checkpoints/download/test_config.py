"""Download settings: addresses behind a mirror, hidden passwords, deadlines."""

from __future__ import annotations

import pytest

from model_builder.checkpoints.download.config import Deadline, DownloadConfig, without_password

URL = "https://weights.example.org/resnet/resnet50.h5"


@pytest.mark.parametrize(
    ("mirror", "address"),
    [
        (None, URL),
        ("http://mirror:8080", "http://mirror:8080/weights.example.org/resnet/resnet50.h5"),
        ("https://mirror/a/b/", "https://mirror/a/b/weights.example.org/resnet/resnet50.h5"),
    ],
)
def test_a_mirror_precedes_host_and_path(mirror: str | None, address: str) -> None:
    assert DownloadConfig(mirror=mirror).address(URL) == address


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@mirror/weights.h5?a=b", "https://mirror/weights.h5?a=b"),
        ("http://token@127.0.0.1:8080/weights.h5", "http://127.0.0.1:8080/weights.h5"),
        (URL, URL),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_a_deadline_passes() -> None:
    assert not Deadline(3600.0).passed()
    assert 0 < Deadline(3600.0).remaining_seconds() <= 3600
    over = Deadline(10.0, started=Deadline(0.0).started - 11)
    assert over.passed()
    assert over.remaining_seconds() == 0
    assert str(over) == "the deadline of 10 s"
