"""The 1000 classes of ILSVRC 2012, in the order of the logits."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from model_builder.artifact.labels import imagenet1k, read_labels
from model_builder.errors import ConversionFailed


def test_there_are_1000() -> None:
    labels = imagenet1k()
    assert len(labels) == 1000
    assert len({label.name for label in labels}) == 1000
    assert len({label.wnid for label in labels}) == 1000


def test_in_the_order_of_their_wordnet_ids() -> None:
    wnids = [label.wnid or "" for label in imagenet1k()]
    assert wnids == sorted(wnids)
    assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in wnids)


@pytest.mark.parametrize(
    ("class_id", "wnid", "name"),
    [
        (0, "n01440764", "tench"),
        (134, "n02012849", "crane (bird)"),
        (281, "n02123045", "tabby"),
        (285, "n02124075", "Egyptian cat"),
        (517, "n03126707", "crane (machine)"),
        (657, "n03773504", "missile"),
        (967, "n07920052", "espresso"),
        (999, "n15075141", "toilet tissue"),
    ],
)
def test_well_known_classes(class_id: int, wnid: str, name: str) -> None:
    label = imagenet1k()[class_id]
    assert (label.wnid, label.name) == (wnid, name)


def test_names_are_clean() -> None:
    for label in imagenet1k():
        assert label.name == label.name.strip()
        assert label.name.isprintable()
        assert label.name
        assert "_" not in label.name


def test_a_pipe_of_labels_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "labels.txt")
    with pytest.raises(ConversionFailed, match=r"labels\.txt is a pipe, not a file"):
        read_labels(tmp_path / "labels.txt")
