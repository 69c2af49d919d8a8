"""NNCF quantizes without telemetry and without output of its own; where it is not, that is said."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from model_builder.errors import BuilderError
from model_builder.system.nncf_import import hide_progress, import_nncf

# In a process that may open no socket: a small network is quantized.
ALONE = """
import logging, socket, sys
import numpy as np

class Refused(socket.socket):
    def __init__(self, *given, **options):
        raise AssertionError("a socket is opened")

socket.socket = Refused
from model_builder.exporters.openvino_int8 import quantize
from model_builder.system.openvino_import import import_openvino
openvino = import_openvino()
from openvino import opset13 as ops
pixels = ops.parameter([-1, 8, 8, 3], np.uint8, name="pixels")
floats = ops.convert(ops.transpose(pixels, np.array([0, 3, 1, 2])), np.float32)
kernel = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
features = ops.relu(ops.convolution(floats, ops.constant(kernel), [1, 1], [0, 0], [0, 0], [1, 1]))
crops = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
made = quantize(openvino.Model([features], [pixels], "small"), crops, lambda _: None)
print(sum(one.get_type_name() == "FakeQuantize" for one in made.get_ops()))
frameworks = ("tensorflow", "keras", "openvino_telemetry", "torch", "sklearn", "pydot")
print(sorted(name for name in frameworks if sys.modules.get(name)))
"""


def test_nothing_is_sent_and_nothing_is_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, check=True, timeout=120
    )
    quantizers, imported, *rest = done.stdout.split("\n")
    assert int(quantizers) > 0
    assert (imported, rest, done.stderr) == ("[]", [""], "")


def test_where_it_is_not_installed_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(BuilderError, match=r"made with NNCF, .*`pip install nncf` installs it"):
        import_nncf()


def test_its_warnings_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLoggerClass()
    nncf = import_nncf()
    assert logging.getLoggerClass() is before
    nncf.nncf_logger.info("chatter")
    nncf.nncf_logger.warning("a thing to know")
    assert caplog.messages == ["a thing to know"]


def test_its_progress_is_hidden_only_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    import rich

    with hide_progress():
        rich.get_console().print("a bar")
    rich.get_console().print("a line")
    assert capsys.readouterr().out == "a line\n"
