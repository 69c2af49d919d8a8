"""The schedule of `pytest -n`: one file at a time, so that its fixtures are made once.

In the order of their names, in which the longest files come first.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Its servers are session fixtures, so one worker runs all of its tests.
SERVERS = "tests/e2e"
SERVERS_OF_THEIR_OWN = {"tests/e2e/test_own_checkpoint.py"}


class FileByFile(LoadScopeScheduling):  # type: ignore[misc]
    def __init__(self, config: pytest.Config, log: object) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _reschedule(self, node: Any) -> None:
        """After the end of a worker its finished files are in the queue again (pytest-xdist 3.8).

        A worker that is given a file without tests never answers, and the run never ends.
        """
        for scope, tests in [*self.workqueue.items()]:
            if all(tests.values()):
                del self.workqueue[scope]
        super()._reschedule(node)

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        shared = file.startswith(SERVERS) and file not in SERVERS_OF_THEIR_OWN
        return SERVERS if shared else file
