"""Label files as tools write them: read, or refused with the line or entry that is wrong."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model_builder.artifact.labels import Label, read_label_file, read_labels
from model_builder.errors import ConversionFailed

THREE = ("cat", "dog", "rat")
BY_NAME = {"cat": 0, "dog": 1, "rat": 2}
BY_INDEX = {"0": "cat", "1": "dog", "2": "rat"}


def written(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_bytes(content.encode())
    else:
        path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.txt", "cat\ndog\nrat"),
        ("windows.txt", "cat\r\ndog\r\nrat\r\n\r\n"),
        ("doubled.txt", "cat\r\r\ndog\r\r\nrat\r\r\n"),
        ("blank_end.txt", "cat\ndog\nrat\n\n \n"),
        ("spaces.txt", " cat\ndog \nrat\t"),
        ("bom.txt", b"\xef\xbb\xbfcat\ndog\nrat\n"),
        ("utf16.txt", "cat\r\ndog\r\nrat\r\n".encode("utf-16")),
        ("utf16be.txt", b"\xfe\xff" + "cat\ndog\nrat\n".encode("utf-16-be")),
        ("utf32.txt", "cat\ndog\nrat\n".encode("utf-32")),
        ("utf16.json", json.dumps(list(THREE)).encode("utf-16")),
        ("bom.json", b"\xef\xbb\xbf" + json.dumps(list(THREE)).encode()),
        ("list.json", list(THREE)),
        ("list_as_text.txt", json.dumps(THREE)),
        ("object_as_text.txt", json.dumps(BY_INDEX)),
        ("class_to_idx.json", BY_NAME),
        ("shuffled.json", {"rat": 2, "cat": 0, "dog": 1}),
        ("label2id.json", {name: str(index) for name, index in BY_NAME.items()}),
        ("id2label.json", BY_INDEX),
        ("index_order.json", {"2": "rat", "0": "cat", "1": "dog"}),
        ("index_to_name.json", {k: ["n0144", v] for k, v in BY_INDEX.items()}),
        ("objects.json", {k: {"name": v, "color": "red"} for k, v in BY_INDEX.items()}),
        ("config.json", {"model_type": "resnet", "id2label": BY_INDEX, "label2id": BY_NAME}),
        ("label2id_only.json", {"model_type": "resnet", "label2id": BY_NAME, "depths": [3, 4]}),
        ("checkpoint.json", {"arch": "resnet18", "class_to_idx": BY_NAME}),
        ("inverted.json", {"class_to_idx": BY_INDEX}),
        ("timm.json", {"architecture": "resnet18", "num_classes": 3, "label_names": THREE}),
        ("metadata.json", {"tfjsVersion": "1.3.1", "labels": THREE, "imageSize": 224}),
        (
            "label_studio.json",
            {"images": [], "categories": [{"id": i, "name": n} for n, i in BY_NAME.items()]},
        ),
        ("values.json", [{"value": name, "background": "#fff"} for name in THREE]),
        ("teachable.txt", "0 cat\n1 dog\n2 rat\n"),
        ("colons.txt", "0: cat\n1: dog\n2: rat\n"),
        ("out_of_order.txt", "2 rat\n0 cat\n1 dog\n"),
        ("tabs.txt", "0\tcat\n1\tdog\n2\trat\n"),
        ("numbered.txt", "0. cat\n1. dog\n2. rat\n"),
        ("brackets.txt", "0) cat\n1) dog\n2) rat\n"),
        ("bars.txt", "0|cat\n1|dog\n2|rat\n"),
        ("index_last.txt", "cat 0\ndog 1\nrat 2\n"),
        ("index_last_commas.txt", "rat,2\ncat,0\ndog,1\n"),
        ("commas.txt", "0,cat\n1,dog\n2,rat\n"),
        ("index.csv", "0,cat\n1,dog\n2,rat\n"),
        ("header.csv", "index,name\n0,cat\n1,dog\n2,rat\n"),
        ("reversed.csv", "name,id\r\nrat,2\r\ndog,1\r\ncat,0\r\n"),
        ("class_is_index.csv", "class,name\n0,cat\n1,dog\n2,rat\n"),
        ("pandas.csv", ",label\n0,cat\n1,dog\n2,rat\n"),
        ("names.csv", "cat\ndog\nrat\n"),
        ("names_header.csv", "class_name\ncat\ndog\nrat\n"),
        ("spreadsheet.csv", b"\xef\xbb\xbfindex;name\r\n0;cat\r\n1;dog\r\n2;rat\r\n"),
        ("quoted.csv", '"index","name"\n"0","cat"\n"1","dog"\n"2","rat"\n'),
        ("table.tsv", "index\tname\tcount\n0\tcat\t9\n1\tdog\t9\n2\trat\t9\n"),
    ],
)
def test_what_tools_write(tmp_path: Path, name: str, content: Any) -> None:
    labels = read_labels(written(tmp_path, name, content))
    assert tuple(label.name for label in labels) == THREE
    assert {label.wnid for label in labels} == {None}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "synset.txt",
            "n01440764 tench, Tinca tinca\nn01443537 goldfish\n",
            [("tench, Tinca tinca", "n01440764"), ("goldfish", "n01443537")],
        ),
        (
            "imagenet_class_index.json",
            {"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]},
            [("tench", "n01440764"), ("goldfish", "n01443537")],
        ),
        (
            "ids.json",
            {"n01443537": 1, "n01440764": 0},
            [("tench", "n01440764"), ("goldfish", "n01443537")],
        ),
        (
            "timm.json",
            {"label_names": ["n1", "n01443537"], "label_descriptions": {"n01443537": "gold fish"}},
            [("n1", None), ("gold fish", "n01443537")],
        ),
        (
            "columns.csv",
            "n01440764,tench\nn01443537,goldfish",
            [("tench", "n01440764"), ("goldfish", "n01443537")],
        ),
        (
            "header.tsv",
            "wnid\tname\nn01440764\ttench\nn01443537\tgoldfish",
            [("tench", "n01440764"), ("goldfish", "n01443537")],
        ),
        (
            "unknown_ids.txt",
            "n00000001\nn00000002\n",
            [("n00000001", "n00000001"), ("n00000002", "n00000002")],
        ),
        # Names that begin with a number in some lines, or in all lines of a list.
        (
            "doors.txt",
            "4 door car\ntruck\nvan\n",
            [("4 door car", None), ("truck", None), ("van", None)],
        ),
        ("doors.json", ["2 doors", "4 doors"], [("2 doors", None), ("4 doors", None)]),
        ("digits.txt", "0\n1\n2\n", [("0", None), ("1", None), ("2", None)]),
        ("digits.json", {"0": 0, "10": 1, "2": 2}, [("0", None), ("10", None), ("2", None)]),
        ("bracket.txt", "[background]\ncat\n", [("[background]", None), ("cat", None)]),
        (
            "emoji.txt",
            "café\n猫\n🐈\u200d⬛\n",
            [("café", None), ("猫", None), ("🐈\u200d⬛", None)],
        ),
        ("comma.csv", '0,"tench, Tinca"\n1,"a ""b"""\n', [("tench, Tinca", None), ('a "b"', None)]),
        # ImageNet has two cranes: their indices or WordNet ids tell them apart.
        (
            "cranes.json",
            {"0": "crane", "1": "crane", "2": "x"},
            [("crane (0)", None), ("crane (1)", None), ("x", None)],
        ),
        (
            "cranes.txt",
            "n02012849 crane\nn03126707 crane\n",
            [("crane (n02012849)", "n02012849"), ("crane (n03126707)", "n03126707")],
        ),
    ],
)
def test_names_and_wordnet_ids(
    tmp_path: Path, name: str, content: Any, expected: list[tuple[str, str | None]]
) -> None:
    labels = read_labels(written(tmp_path, name, content))
    assert labels == tuple(Label(*one) for one in expected)


@pytest.mark.parametrize(
    "content",
    ["names: [cat, dog, rat]", "names:\n  0: cat\n  1: dog\n  2: rat\n", "- cat\n- dog\n- rat"],
)
def test_the_command_that_converts_yaml(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, "my data.yaml", content)
    with pytest.raises(ConversionFailed) as refusal:
        read_labels(path)
    command = str(refusal.value).partition("pip install pyyaml; python ")[2]
    subprocess.run([sys.executable, *shlex.split(command)], cwd=tmp_path, check=True, timeout=60)
    assert tuple(label.name for label in read_labels(tmp_path / "my data.json")) == THREE


def test_numbers_at_the_end_of_names_stay_in_them(tmp_path: Path) -> None:
    path = written(tmp_path, "planes.txt", "Boeing 737\nBoeing 747\nAirbus 1\n")
    assert read_labels(path)[2].name == "Airbus 1"


def test_the_form_is_said(tmp_path: Path) -> None:
    config = written(tmp_path, "config.json", {"id2label": BY_INDEX})
    assert read_label_file(config).form == "id2label, index to name"
    table = written(tmp_path, "a.csv", "index,name\n0,cat")
    assert read_label_file(table).form == "a table of index and name, with a header"
