"""The modules that an import loads, in a new interpreter."""

from __future__ import annotations

import subprocess
import sys


def modules_after(statements: str) -> set[str]:
    """The modules that a new interpreter has loaded after these statements."""
    code = f"import sys\n{statements}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())
