"""How many workers a machine is served with."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from service.cli.commands import serve
from service.cli.main import main
from service.settings import Settings
from service.workers import share


@pytest.mark.parametrize(
    ("cpus", "gpus", "device", "workers"),
    [
        (1, 0, "auto", 1),
        (2, 0, "auto", 1),
        (15, 0, "auto", 1),
        (16, 0, "auto", 2),
        (64, 0, "auto", 8),
        (4096, 0, "auto", 256),
        (8, 1, "auto", 1),
        (8, 4, "auto", 4),
        # As many for each GPU.
        (96, 8, "auto", 8),
        (128, 8, "auto", 16),
        (16, 4, "cpu", 2),
    ],
)
def test_auto_follows_the_cpus_and_the_gpus(
    cpus: int, gpus: int, device: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share, "cpu_limit", lambda: cpus)
    monkeypatch.setattr(share, "has_gpu_driver", lambda: gpus > 0)
    monkeypatch.setattr(share, "gpu_ids", lambda: [str(number) for number in range(gpus)])
    assert share.worker_count(Settings.of(workers="auto", device=device)) == workers


def test_a_number_is_taken_as_it_is() -> None:
    assert share.worker_count(Settings.of(workers=3)) == 3
    assert Settings.of().http.workers == 1


@pytest.mark.parametrize("wrong", ["0", "257", "-1", "two", "1.5", ""])
def test_other_numbers_of_workers_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected 1 to 256, or auto"):
        Settings.of(workers=wrong)


@pytest.mark.parametrize(("given", "read"), [("auto", "auto"), ("4", 4)])
def test_the_command_takes_both(given: str, read: object, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Settings] = []

    def take(settings: Settings) -> int:
        served.append(settings)
        return 0

    monkeypatch.setattr(serve, "serve_http", take)
    done = CliRunner().invoke(main, ["serve", "--workers", given])
    assert done.exit_code == 0, done.output
    assert served[0].http.workers == read
