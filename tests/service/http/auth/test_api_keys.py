"""The file of API keys, and its changes while the service runs."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from service.http.auth.api_keys import ApiKeys, Client, InvalidKeyFile, hash_of, read_keys


class Clock:
    """Both clocks: `now` seconds after this moment, for files of this moment."""

    def __init__(self) -> None:
        self.now = 0.0
        self.start = time.time()

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.start + self.now


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(
        f"# who may ask\n{hash_of('alpha')}  shop\n\n{hash_of('beta')} old-shop off  # left\n"
    )
    return path


SHOP = Client("shop", off=False)


def keys_of(path: Path, clock: Clock) -> ApiKeys:
    return ApiKeys(path, clock, clock.wall)


def replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


def test_a_changed_file_is_read_when_it_has_settled(key_file: Path) -> None:
    clock = Clock()
    keys = keys_of(key_file, clock)
    replace(key_file, f"{hash_of('delta')} other\n")
    clock.now = 0.9
    assert keys.client("alpha") == SHOP
    clock.now = 3
    assert keys.client("alpha") is None
    assert keys.client("delta") == Client("other", off=False)


def test_a_file_that_is_being_written_is_not_read(key_file: Path) -> None:
    """As `for ...; do ... >> keys; done` does it: a line at a time, each of them whole."""
    clock = Clock()
    # So that each change is a new one.
    clock.start -= 3600
    keys = keys_of(key_file, clock)
    key_file.write_text(f"{hash_of('gamma')} bank\n")
    for second in range(1, 10):
        clock.now = second
        assert keys.client("alpha") == SHOP
        with key_file.open("a") as file:
            file.write(f"# {second}\n")
    with key_file.open("a") as file:
        file.write(f"{hash_of('alpha')} shop\n")
    clock.now += 1
    assert keys.client("gamma") is None
    clock.now += 1
    assert keys.client("gamma") == Client("bank", off=False)
    assert keys.client("alpha") == SHOP


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty or cut short"),
        ("# nobody\n\n", "has no key"),
        (f"{hash_of('gamma')} bank\n{hash_of('alpha')} sh", "empty or cut short"),
        # Cut where the key would be good again.
        (f"{hash_of('gamma')} bank\n{hash_of('beta')} old-shop", "empty or cut short"),
        (f"{hash_of('gamma')} bank\n{hash_of('alpha')[:40]}\n", "line 2: expected a SHA-256"),
        ("delta other\n", "line 1: expected a SHA-256"),
    ],
)
def test_a_file_that_is_empty_cut_or_wrong_changes_nothing(
    key_file: Path, caplog: pytest.LogCaptureFixture, text: str, said: str
) -> None:
    clock = Clock()
    keys = keys_of(key_file, clock)
    key_file.write_text(text)
    with caplog.at_level(logging.ERROR):
        for clock.now in (2, 4, 6):
            assert keys.client("alpha") == SHOP
            assert keys.client("beta") == Client("old-shop", off=True)
            assert keys.client("gamma") is None
    assert said in caplog.text
    assert "delta" not in caplog.text
    # Once, not at every look.
    assert len(caplog.records) == 1
    key_file.write_text(f"{hash_of('gamma')} bank\n")
    clock.now = 10
    assert keys.client("gamma") == Client("bank", off=False)


def test_a_file_that_goes_away_changes_nothing(
    key_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    keys = keys_of(key_file, clock)
    key_file.unlink()
    for clock.now in (2, 4):
        assert keys.client("alpha") == SHOP
    assert "can't be read" in caplog.text


def test_a_pipe_in_its_place_is_not_waited_for(
    key_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    keys = keys_of(key_file, clock)
    key_file.unlink()
    os.mkfifo(key_file)
    for clock.now in (2, 4):
        assert keys.client("alpha") == SHOP
    assert "is a pipe, not a file" in caplog.text
    with pytest.raises(InvalidKeyFile, match="is a pipe, not a file"):
        ApiKeys(key_file)


def test_a_file_whose_time_is_ahead_is_read_at_the_second_look(key_file: Path) -> None:
    """A server of files may have a clock of its own."""
    clock = Clock()
    clock.start -= 3600
    keys = keys_of(key_file, clock)
    key_file.write_text(f"{hash_of('delta')} other\n")
    clock.now = 1
    assert keys.client("delta") is None
    clock.now = 2
    assert keys.client("delta") == Client("other", off=False)


def test_the_file_is_looked_at_once_a_second_however_many_ask(key_file: Path) -> None:
    clock = Clock()
    clock.start += 60
    keys = keys_of(key_file, clock)
    key_file.write_text(f"{hash_of('delta')} another\n")
    clock.now += 0.9
    assert keys.client("delta") is None
    clock.now += 0.1
    assert keys.client("delta") == Client("another", off=False)


@pytest.mark.parametrize("line", ["alpha shop", f"{'0' * 64}", f"{'0' * 64} a b", "é", "", "# no"])
def test_a_file_without_a_key_or_with_a_line_that_is_none(tmp_path: Path, line: str) -> None:
    path = tmp_path / "keys"
    path.write_text(line, encoding="latin-1")
    with pytest.raises(InvalidKeyFile):
        read_keys(path)


def test_at_thestart_a_last_line_needs_no_end(tmp_path: Path) -> None:
    """As in a Kubernetes secret made from a literal."""
    path = tmp_path / "keys"
    path.write_text(f"{hash_of('alpha')} shop")
    assert ApiKeys(path).client("alpha") == SHOP


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidKeyFile, match="can't be read"):
        ApiKeys(tmp_path / "none")
