"""The classes of published checkpoints: WordNet ids and names, in the order of the logits.

`imagenet1k.tsv` has the 1000 synsets of ILSVRC 2012 in the order of their ids, each with its
first lemma in WordNet 3.0. Three lemmas belong to two classes each; those six have an addition,
as in "crane (bird)".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from model_builder.errors import ConversionFailed
from model_builder.system.regular_file import read_regular_file

# A thousand times ImageNet's.
MAX_BYTES = 16 << 20
_NAMES = TypeAdapter(list[str])


@dataclass(frozen=True, slots=True)
class Label:
    """One class. `wnid` is its WordNet id ("n02123045"), or None for a user's own classes."""

    name: str
    wnid: str | None = None


def imagenet1k() -> tuple[Label, ...]:
    """The 1000 classes of ILSVRC 2012."""
    table = files(__name__).joinpath("imagenet1k.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table.splitlines())
    return tuple(Label(name=name, wnid=wnid) for wnid, name in rows)


def read_labels(path: Path) -> tuple[Label, ...]:
    """A user's own classes, in the order of the logits, from a text file or JSON.

    Text: one name a line. JSON: a list of names, or an object from index to name, such as
    transformers' `id2label`. Raises ConversionFailed.
    """
    try:
        text = read_regular_file(path, MAX_BYTES).decode()
        if path.suffix.lower() != ".json":
            return tuple(Label(line.strip()) for line in text.splitlines() if line.strip())
        content = json.loads(text)
        if isinstance(content, dict):
            content = [content[str(index)] for index in range(len(content))]
        names = _NAMES.validate_python(content)
        # Half of a pair of surrogates is no text: it can neither be stored nor answered.
        "".join(names).encode()
        return tuple(Label(name) for name in names)
    except ValidationError as error:
        raise ConversionFailed(
            f"{path} can't be read as labels: {error.errors()[0]['msg']}"
        ) from error
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise ConversionFailed(f"{path} can't be read as labels: {error}") from error
