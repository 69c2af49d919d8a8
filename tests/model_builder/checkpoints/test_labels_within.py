"""Labels in a checkpoint: only flat containers are looked through."""

from __future__ import annotations

from pathlib import Path

from model_builder.checkpoints.recipe.within import labels_within
from tests.model_builder.torch_files import write_zip


def test_lists_that_double_are_no_labels(tmp_path: Path) -> None:
    """Written out, they would have 2 to the power of 100 members."""
    name = b"X\x07\x00\x00\x00classes"
    doubled = b"]q\x00" + b"".join(
        b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(100)
    )
    data = b"\x80\x04}" + name + doubled + b"s."
    assert labels_within(write_zip(tmp_path / "a.pth", {"data.pkl": data})) is None
