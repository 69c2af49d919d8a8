"""Damaged files of PyTorch end in a refusal: a short run of `tests.fuzz.checkpoints`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from tests.fuzz.checkpoints import damaged, outcome, seeds


def test_damage_is_refused_and_nothing_else(tmp_path: Path) -> None:
    received = {outcome(path) for _, path in islice(damaged(tmp_path, seed=0), 200)}
    assert received == {"refused"}


def test_what_the_fuzzer_damages_is_read_as_far_as_its_shapes(tmp_path: Path) -> None:
    """Else it would damage what is refused anyhow."""
    from model_builder.checkpoints.formats.pytorch import reader

    for name, content in seeds(tmp_path).items():
        if name != "pickle":
            path = tmp_path / "sound.pth"
            path.write_bytes(content)
            assert len(reader.read(path).tensors) == 102, name
