"""Reads a user's own classes from the files that tools write."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from model_builder.artifact.labels.entries import Entry, LabelProblem, labels_of, shown
from model_builder.artifact.labels.json_files import json_entries
from model_builder.artifact.labels.label import Label
from model_builder.artifact.labels.table_files import table_entries
from model_builder.artifact.labels.text_files import text_entries
from model_builder.errors import ConversionFailed
from model_builder.system.regular_file import read_regular_file

# A thousand times ImageNet's.
MAX_BYTES = 16 << 20
# UTF-32's begins with UTF-16's.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
# PyYAML is no dependency. Ultralytics' data.yaml has "names", a list or an object.
FROM_YAML = (
    'YAML is not read. What converts it: pip install pyyaml; python -c "import json, yaml; '
    "found = yaml.safe_load(open({0!r}, encoding='utf-8')); json.dump(found.get('names', found) "
    "if isinstance(found, dict) else found, open({1!r}, 'w'))\""
)
# What is not read, and what to do.
OTHER_FORMATS = {
    ".toml": "TOML",
    ".ini": "an INI file",
    ".data": "a Darknet data file, which names the file of names,",
    ".xml": "XML",
    ".pbtxt": "a TensorFlow label map",
    ".pkl": "a pickle",
    ".pickle": "a pickle",
    ".pth": "a pickle",
    ".npy": "a NumPy array",
    ".xlsx": "a spreadsheet",
}


@dataclass(frozen=True, slots=True)
class LabelFile:
    """labels: in the order of the logits. form: what the file has, for people."""

    labels: tuple[Label, ...]
    form: str


def read_labels(path: Path) -> tuple[Label, ...]:
    """A user's own classes, in the order of the logits. Raises ConversionFailed."""
    return read_label_file(path).labels


def read_label_file(path: Path) -> LabelFile:
    """A user's own classes from a file of text, JSON or a table; docs/own.md lists the forms.

    UTF-8, or UTF-16 and UTF-32 with a byte order mark. Lines end with a line feed, with or without
    a carriage return before it. Raises ConversionFailed, which names the line or entry.
    """
    try:
        data = read_regular_file(path, MAX_BYTES)
        if path.suffix.lower() in (".yaml", ".yml"):
            raise LabelProblem(FROM_YAML.format(path.name, f"{path.stem}.json"))
        if other := OTHER_FORMATS.get(path.suffix.lower()):
            raise LabelProblem(f"{other} is not read. Write a name a line, or JSON")
        entries, form = _entries(_decoded(data), path.suffix.lower())
        return LabelFile(labels_of(entries), form)
    except (LabelProblem, OSError, RecursionError) as error:
        raise ConversionFailed(f"{path} can't be read as labels: {error}") from error


def _decoded(data: bytes) -> str:
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding not in ("utf-8", "utf-8-sig"):
            raise LabelProblem(f"it is not {encoding.upper()}: {error.reason}") from error
        line = data.count(b"\n", 0, error.start) + 1
        text = data.split(b"\n")[line - 1].decode(errors="backslashreplace")
        raise LabelProblem(
            f"line {line} is not UTF-8: {shown(text)}. Save the file as UTF-8"
        ) from error


def _entries(text: str, suffix: str) -> tuple[list[Entry], str]:
    begins = text.lstrip()[:1]
    if suffix == ".json" or begins == "{":
        return json_entries(text)
    if begins == "[" and suffix not in TABLES:
        # A list, or the name "[background]".
        try:
            return json_entries(text)
        except LabelProblem:
            if text.rstrip()[-1:] == "]" and '"' in text:
                raise
    lines = [line.rstrip("\r") for line in text.split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise LabelProblem("it names no class")
    delimiter = TABLES.get(suffix)
    if delimiter is None and all("\t" in line for line in lines):
        delimiter = "\t"
    if delimiter is None:
        return text_entries(lines)
    if delimiter == "," and lines[0].count(";") > lines[0].count(","):
        # What spreadsheets write where a comma is part of numbers.
        delimiter = ";"
    return table_entries(lines, delimiter)
