"""Label files as tools write them: read, or refused with the line or entry that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model_builder.artifact.labels import MAX_BYTES, Label, read_label_file, read_labels
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
    ("name", "content", "said"),
    [
        ("nel.txt", "caf\x85e\nb\nc\n", r"line 1 has the character U+0085 in 'caf\x85e'"),
        ("tab.txt", "a\nb\vc\n", r"line 2 has the character U+000B in 'b\x0bc'"),
        ("separator.txt", "a\nb\u2028c\n", r"line 2 has the character U+2028 in 'b\u2028c'"),
        ("old_mac.txt", "cat\rdog\rrat\r", "line 1 has the character U+000D"),
        ("joined.txt", "cat\n\ufeffdog\n", r"line 2 has the character U+FEFF in '\ufeffdog'"),
        ("no_mark.txt", "cat\ndog".encode("utf-16-le"), "line 1 has the character U+0000"),
        ("cp1252.txt", b"cat\ncaf\xe9\n", r"line 2 is not UTF-8: 'caf\xe9'"),
        ("half.txt", "cat".encode("utf-16") + b"x", "it is not UTF-16"),
        ("empty.txt", "", "it names no class"),
        ("blank.txt", "\n \n", "it names no class"),
        ("gap.txt", "cat\n\nrat\n", "line 2 is empty"),
        ("long.txt", "x" * 1001, "line 1 has 1001 characters, and a name at most 1000: 'xxx"),
        ("twice.txt", "cat\ndog\ncat\n", "line 3 has the name 'cat', which line 1 has too"),
        ("twice.json", ["cat", "cat"], "entry 2 has the name 'cat', which entry 1 has too"),
        (
            "from_1.txt",
            "1 cat\n2 dog\n",
            "every line begins with a number, and they are not 0 to 1: line 1 is '1 cat'",
        ),
        ("one_less.txt", "0 cat\n1 dog\nrat\n", "line 3 has no index as others have: 'rat'"),
        (
            "skipped.txt",
            "0 cat\n1 dog\n3 rat\n",
            "line 3 gives the index 3 to 'rat', and 3 classes have the indices 0 to 2: nothing has "
            "the index 2",
        ),
        (
            "again.txt",
            "0 cat\n1 dog\n1 rat\n",
            "line 3 gives the index 1 to 'rat', which line 2 gives to 'dog'",
        ),
        ("minus.json", {"-1": "cat", "0": "dog"}, "entry '-1' gives the index -1 to 'cat'"),
        (
            "from_1.json",
            {"cat": 1, "dog": 2},
            "entry 'dog' gives the index 2 to 'dog', and 2 classes have the indices 0 to 1: "
            "nothing has the index 0",
        ),
        (
            "equal.json",
            {"cat": 0, "dog": 0},
            "entry 'dog' gives the index 0 to 'dog', which entry 'cat' gives to 'cat'",
        ),
        ("gap.json", {"0": "a", "2": "b"}, "entry '2' gives the index 2 to 'b'"),
        ("key_twice.json", '{"0": "a", "0": "b"}', "the key '0' is in it twice"),
        (
            "coco.json",
            {"categories": [{"id": 1, "name": "cat"}]},
            "entry 1 gives the index 1 to 'cat'",
        ),
        ("either.json", {"0": "1", "1": "0"}, "both its keys and its values are numbers"),
        ("mixed.json", {"0": "cat", "1": "dog", "x": "rat"}, "the key 'x' is no index"),
        (
            "config.json",
            {"arch": "resnet18", "lr": 0.1},
            "entry 'arch' is no index. Received: 'resnet18'",
        ),
        ("number.json", ["a", 1], "entry 2 is no name. Received: '1'"),
        ("null.json", {"0": "a", "1": None}, "entry '1' is no name. Received: 'null'"),
        ("surrogate.json", '["\\ud800"]', r"entry 1 has the character U+D800 in '\ud800'"),
        ("newline.json", ["a\nb"], r"entry 1 has the character U+000A in 'a\nb'"),
        ("nothing.json", {}, "it names no class"),
        ("text.json", '"cat"', "it is neither a list nor an object"),
        ("true.json", {"cat": True, "dog": False}, "entry 'cat' is no index. Received: 'True'"),
        ("deep.json", "[" * 100_000, "recursion"),
        ("broken.json", "cat\ndog", "it is not JSON: Expecting value: line 1 column 1"),
        ("python.txt", "{0: 'tench', 1: 'goldfish'}", "it is not JSON: Expecting property name"),
        ("large.json", b" " * (MAX_BYTES + 1), "at most 16777216 are read"),
        ("data.yaml", "names: [cat, dog]", "YAML is not read. Write a name a line, or JSON"),
        ("labels.pbtxt", "item { id: 1 }", "a TensorFlow label map is not read"),
        ("ragged.csv", "0,cat\n1,dog,x\n", "line 2 has 3 columns, and line 1 has 2: '1,dog,x'"),
        ("commas.csv", "name\ntench, Tinca tinca\n", "line 2 has 2 columns, and line 1 has 1"),
        ("index.csv", "index,name\n0,cat\nx,dog\n", "line 3 has no index: 'x,dog'"),
        ("middle.csv", "0,cat\n\n1,dog\n", "line 2 is empty"),
        ("header_alone.csv", "index,name\n", "it has a header and names no class"),
        ("columns.csv", "a,b\nc,d\n", "it has 2 columns without a header"),
        ("no_name.csv", "index,id\n0,1\n", "its header names no column of names: 'index,id'"),
        ("quote.csv", '0,"cat\n1,dog\n', "line 2: unexpected end of data"),
        (
            "synset.txt",
            "n01440764 tench\nn01443537 goldfish\nshark\n",
            "line 3 has no WordNet id as most others have: 'shark'",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, content: Any, said: str) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(ConversionFailed) as refusal:
        read_labels(path)
    message = str(refusal.value)
    assert message.startswith(f"{path} can't be read as labels: ")
    assert said in message
    assert message.isprintable()


def test_the_form_is_said(tmp_path: Path) -> None:
    config = written(tmp_path, "config.json", {"id2label": BY_INDEX})
    assert read_label_file(config).form == "id2label, index to name"
    table = written(tmp_path, "a.csv", "index,name\n0,cat")
    assert read_label_file(table).form == "a table of index and name, with a header"
