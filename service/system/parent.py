"""A process that ends with the one that started it."""

from __future__ import annotations

import os
import signal
import sys

from service.system.memory import c_library

# <linux/prctl.h>
PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Asks Linux for SIGTERM when the parent ends, however it ends; elsewhere does nothing.

    parent: the id of the process that started this one.
    """
    if not sys.platform.startswith("linux"):
        return
    c_library().prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # It may have ended before the call.
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
