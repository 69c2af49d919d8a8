"""Label files with something wrong: the refusal names the line or the entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model_builder.artifact.labels import MAX_BYTES, read_labels
from model_builder.errors import ConversionFailed
from tests.model_builder.artifact.test_label_files import written


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
        (
            "data.yaml",
            "names: [cat, dog]",
            "YAML is not read. What converts it: pip install pyyaml",
        ),
        ("names.toml", 'names = ["cat"]', "TOML is not read"),
        ("coco.data", "names = coco.names", "a Darknet data file"),
        ("page.txt", "<!doctype html>\n<html>", "line 1 is HTML or XML, not a name"),
        ("comment.txt", "# classes\ncat\ndog\n", "line 1 is a comment"),
        ("marks.txt", "- cat\n- dog\n", "the mark of a list, as line 1: '- cat'"),
        ("header.txt", "id name\n0 cat\n1 dog\n", "line 1 has no index as all others have"),
        ("map.txt", "n02119789 1 kit_fox\nn02100735 2 setter\n", "nothing has the index 0"),
        ("unseen.txt", "cat\u200b\ndog\n", r"line 1 has the character U+200B"),
        ("turned.txt", "cat\n\u202edog\n", r"line 2 has the character U+202E"),
        ("broken.csv", '0,"big\ncat"\n1,dog\n', "line 1 has a line break within quotes"),
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
