"""The only place where OpenVINO is imported."""

from __future__ import annotations

import sys
from typing import Any


def import_openvino() -> Any:
    """The module, without the telemetry package that its wheel depends on.

    OpenVINO uses a stub of its own where that package can't be imported.
    """
    # What Python's import system takes as "not there".
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
