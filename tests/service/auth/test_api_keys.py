"""The file of API keys: its lines, and when it is read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.auth.api_keys import ApiKeys, Client, InvalidKeyFile, hash_of, read_keys
from tests.service.auth.clock import Clock


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{hash_of('alpha')}  shop\n")
    return path


def test_the_file_is_read_again_when_it_changes_and_not_when_it_breaks(
    key_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    keys = ApiKeys(key_file, clock)

    def replace(text: str) -> None:
        new = key_file.with_suffix(".new")
        new.write_text(text)
        os.replace(new, key_file)
        clock.now += 1

    assert keys.client("alpha") == Client("shop", off=False)
    replace(f"{hash_of('delta')} other\n")
    assert keys.client("delta") == Client("other", off=False)
    assert keys.client("alpha") is None
    replace("delta other\n")
    assert keys.client("delta") == Client("other", off=False)
    assert "line 1: expected a SHA-256" in caplog.text
    assert "delta" not in caplog.text
    key_file.unlink()
    clock.now += 1
    assert keys.client("delta") == Client("other", off=False)


def test_the_file_is_looked_at_once_a_second_however_many_ask(key_file: Path) -> None:
    clock = Clock()
    keys = ApiKeys(key_file, clock)
    key_file.write_text(f"{hash_of('delta')} another\n")
    clock.now += 0.9
    assert keys.client("delta") is None
    clock.now += 0.1
    assert keys.client("delta") == Client("another", off=False)


@pytest.mark.parametrize("line", ["alpha shop", f"{'0' * 64}", f"{'0' * 64} a b", "é"])
def test_a_line_that_is_no_key(tmp_path: Path, line: str) -> None:
    path = tmp_path / "keys"
    path.write_text(line, encoding="latin-1")
    with pytest.raises(InvalidKeyFile):
        read_keys(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidKeyFile, match="can't be read"):
        ApiKeys(tmp_path / "none")
