"""Files that state a preprocessing: named by `--like`, or beside the weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model_builder.artifact.labels import LabelFile, read_label_file
from model_builder.checkpoints.recipe.partial import PartialRecipe
from model_builder.checkpoints.recipe.timm_config import is_timm, read_timm
from model_builder.checkpoints.recipe.transformers_config import is_transformers, read_transformers
from model_builder.errors import ConversionFailed
from model_builder.system.printable import cut, printable
from model_builder.system.regular_file import read_regular_file

CONFIG = "config.json"
# In this order; the first that states a preprocessing is taken.
NAMES = ("preprocessor_config.json", CONFIG)
# A network's config.json with 20 000 classes and their names twice.
MAX_BYTES = 4 << 20
SAID_CHARACTERS = 500
LABEL_MEMBERS = ("id2label", "label_names", "label2id")


def read_recipe(path: Path) -> PartialRecipe:
    """What a timm config.json or a transformers preprocessor_config.json states.

    path: the file, or a folder with one. Raises ConversionFailed.
    """
    if path.is_dir():
        found = Beside(path).recipe()
        if found is None:
            raise ConversionFailed(f"{path} has no {' and no '.join(NAMES)} with a preprocessing.")
        return found
    content = _content(path)
    if not _states_recipe(content):
        raise ConversionFailed(
            f"{path} states no preprocessing: it is neither a pretrained_cfg of timm nor a "
            "preprocessor_config.json of transformers."
        )
    return _recipe(path, content)


class Beside:
    """The files of NAMES in the folder of the weights, each read once, when it is first needed."""

    def __init__(self, weights: Path) -> None:
        """weights: a file, or its folder."""
        self.folder = weights if weights.is_dir() else weights.parent
        self._contents: dict[str, dict[str, Any]] = {}

    def content(self, name: str) -> dict[str, Any]:
        """Empty where there is no such file. Raises ConversionFailed where it can't be read; a
        config.json that is no JSON object may be anyone's, and is taken for none.
        """
        if name not in self._contents:
            self._contents[name] = _content(self.folder / name, missing_ok=True)
        return self._contents[name]

    def recipe(self) -> PartialRecipe | None:
        """The preprocessing that one of them states; None where there is none.

        Raises ConversionFailed where it states something else than our networks can be fed.
        """
        for name in NAMES:
            content = self.content(name)
            if _states_recipe(content):
                return _recipe(self.folder / name, content)
        return None

    def labels(self) -> LabelFile | None:
        """The labels in config.json; None where it has none. Raises ConversionFailed."""
        content = self.content(CONFIG)
        if not any(content.get(member) for member in LABEL_MEMBERS):
            return None
        return read_label_file(self.folder / CONFIG)


def _content(path: Path, *, missing_ok: bool = False) -> dict[str, Any]:
    """The object in a JSON file. missing_ok: an empty one where there is no such file, or where
    it is something else: others than timm and transformers call their files config.json too.
    """
    try:
        content = json.loads(read_regular_file(path, MAX_BYTES).decode("utf-8-sig"))
    except FileNotFoundError as error:
        if missing_ok:
            return {}
        raise ConversionFailed(f"There is no file {path}") from error
    except (OSError, ValueError, RecursionError) as error:
        if missing_ok and path.name == CONFIG:
            return {}
        raise ConversionFailed(f"{path} can't be read: {error}") from error
    if isinstance(content, dict):
        return content
    if missing_ok:
        return {}
    raise ConversionFailed(f"{path} has no JSON object.")


def _states_recipe(content: dict[str, Any]) -> bool:
    return is_timm(content) or is_transformers(content)


def _recipe(path: Path, content: dict[str, Any]) -> PartialRecipe:
    try:
        fields = read_timm(content) if is_timm(content) else read_transformers(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConversionFailed(f"{path}: {_said(where)}: {_said(first['msg'])}") from error
    except ValueError as error:
        raise ConversionFailed(f"{path}: {_said(str(error))}") from error
    return PartialRecipe(fields, path.name)


def _said(text: str) -> str:
    """Of a message that has what is in the file."""
    return cut(printable(text), SAID_CHARACTERS)
