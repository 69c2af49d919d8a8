"""What is said where OpenVINO can't write a network."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")
from model_builder.exporters import openvino


def fail(*_: object, **__: object) -> None:
    raise RuntimeError("basic_ios::clear: iostream error")


class Model:
    """With weights of a megabyte."""

    def get_ops(self) -> list[Any]:
        data = np.zeros(1 << 18, np.float32)
        constant = SimpleNamespace(get_type_name=lambda: "Constant", data=data)
        return [SimpleNamespace(get_type_name=lambda: "Parameter"), constant]


@pytest.fixture(autouse=True)
def _writing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "import_openvino", lambda: SimpleNamespace(save_model=fail))


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(OSError, match=r"No space left on device: '.*network'") as raised:
        openvino.save(Model(), tmp_path / "network")
    assert raised.value.errno == errno.ENOSPC


def test_any_other_error_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_100_000))
    with pytest.raises(RuntimeError, match="iostream error"):
        openvino.save(Model(), tmp_path / "network")
