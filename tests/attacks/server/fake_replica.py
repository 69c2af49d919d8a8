"""The service around a fake engine: `python -m tests.attacks.server.fake_replica`.

For quick tests: everything but the network is real.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from service.http.server import serve
from service.inference import loader
from service.settings import Settings
from tests.service.color_artifact import write_color_artifact
from tests.service.conftest import MODEL_NAME
from tests.service.fakes import FakeEngine


def main() -> int:
    # In the module where the service looks it up.
    loader.__dict__["load_engines"] = lambda *_: (FakeEngine(),)
    with tempfile.TemporaryDirectory(prefix="fake-") as folder:
        artifact = write_color_artifact(Path(folder) / MODEL_NAME)
        # The fake engine can't pass a self-test.
        return serve(Settings.of(models=str(artifact.folder), self_test_interval_seconds=0))


if __name__ == "__main__":
    sys.exit(main())
