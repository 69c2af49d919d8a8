"""The only place where OpenVINO is imported."""

from __future__ import annotations

import sys
from typing import Any


def import_openvino() -> Any:
    """The module, without the telemetry package that its wheel depends on, and without its
    converter of other formats, whose import takes as long as all the rest.

    OpenVINO does without either where it can't be imported.
    """
    for name in ("openvino_telemetry", "openvino.tools.ovc"):
        # What Python's import system takes as "not there".
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    import openvino

    return openvino
