"""How `pytest -n` shares the tests out: a file at a time, so that its fixtures are made once.

In the order of their names, which begins with those that take longest.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

# The servers there are the session's, so one worker has all who ask them.
SERVERS = "tests/e2e"
SERVERS_OF_THEIR_OWN = {"tests/e2e/test_own_checkpoint.py"}


class FileByFile(LoadScopeScheduling):  # type: ignore[misc]
    def __init__(self, config: pytest.Config, log: object) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        shared = file.startswith(SERVERS) and file not in SERVERS_OF_THEIR_OWN
        return SERVERS if shared else file
