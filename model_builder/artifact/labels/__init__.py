"""The classes of checkpoints: names, and WordNet ids, in the order of the logits.

`imagenet1k.tsv` has the 1000 synsets of ILSVRC 2012 in the order of their ids, each with its
first lemma in WordNet 3.0. Three lemmas belong to two classes each; those six have an addition,
as in "crane (bird)".
"""

from __future__ import annotations

from model_builder.artifact.labels.files import MAX_BYTES, LabelFile, read_label_file, read_labels
from model_builder.artifact.labels.label import Label, imagenet1k

__all__ = ["MAX_BYTES", "Label", "LabelFile", "imagenet1k", "read_label_file", "read_labels"]
