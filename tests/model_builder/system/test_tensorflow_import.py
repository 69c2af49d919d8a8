"""The output of TensorFlow's import, in a new interpreter."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from model_builder.system.tensorflow_import import import_tensorflow

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


def stderr_of(code: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "KERAS_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stderr


def test_importing_is_quiet() -> None:
    code = (
        "import sys; from model_builder.system.tensorflow_import import import_tensorflow\n"
        "tensorflow = import_tensorflow()\n"
        "assert tensorflow is sys.modules['tensorflow'] is import_tensorflow()\n"
        "assert 'keras' not in sys.modules\n"
        "import keras, keras.src.optimizers\n"
        "assert tensorflow.keras.optimizers.Adam is keras.optimizers.Adam\n"
        "assert keras.backend.backend() == 'tensorflow'"
    )
    assert stderr_of(code) == ""


def test_only_known_lines_are_suppressed() -> None:
    code = (
        "import os, sys; from model_builder.system.native_stderr import redirect_native_stderr\n"
        "with redirect_native_stderr():\n"
        "    os.write(2, b'I0000 00:00:1 port.cc:1] oneDNN is on\\nout of memory\\n')\n"
        "    print('a traceback', file=sys.stderr)\n"
        "print('afterwards', file=sys.stderr)"
    )
    assert stderr_of(code).splitlines() == ["out of memory", "a traceback", "afterwards"]


def test_onednn_is_used_on_every_x86_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Read before TensorFlow is imported, and not from the present environment.
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    for machine, given, expected in (
        ("x86_64", None, "1"),
        ("x86_64", "0", "0"),
        ("aarch64", None, None),
    ):
        monkeypatch.setattr(platform, "machine", lambda machine=machine: machine)
        monkeypatch.delenv(ONEDNN, raising=False)
        if given is not None:
            monkeypatch.setenv(ONEDNN, given)
        import_tensorflow()
        assert os.environ.get(ONEDNN) == expected
