"""Inputs of every kind: the same images in the same order each time, few in memory."""

from __future__ import annotations

import io
import os
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import fsspec
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import fs, parquet

from service.scoring import filesystem
from service.scoring.errors import InvalidInput, MissingDriver, Unreadable
from service.scoring.filesystem import Place, place_of, read_location
from service.scoring.sources.item import Item
from service.scoring.sources.lists import LineSource
from service.scoring.sources.open import Reading, open_source
from service.scoring.sources.selection import Selection, shard_of
from service.scoring.table import ScoredRow, make_schema, make_table
from tests.service.scoring.conftest import jpeg

MAX_BYTES = 10_000
READING = Reading(MAX_BYTES)


def contents(given: object, reading: Reading = READING) -> dict[str, bytes]:
    return {item.path: item.read() for item in open_source(str(given), reading).items()}


def write_tar(path: Path, mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in [
            ("a/0.jpg", jpeg(0)),
            ("a/0.json", b"{}"),
            ("a/1.JPG", jpeg(1)),
            ("a/._1.jpg", b"of a Mac"),
            ("large.png", b"x" * (MAX_BYTES + 1)),
        ]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_a_folder_is_listed_by_name_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/2.jpg", "a/10.jpg", ".hidden/x.jpg", "a/.DS_Store", "c\nd.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "link").symlink_to(tmp_path)
    found = open_source(str(tmp_path), READING)
    names = [item.path.removeprefix(f"{tmp_path}/") for item in found.items()]
    assert names == ["a/10.jpg", "a/2.jpg", "b.jpg", "c\nd.jpg", "link"]
    assert found.count() == len(names)


def test_a_name_that_is_no_text_is_written_as_one_and_read(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.jpg"
    try:
        Path(os.fsdecode(path)).write_bytes(b"data")
    except OSError:
        pytest.skip("the file system takes text only")
    (item,) = open_source(str(tmp_path), READING).items()
    assert item.path == f"{tmp_path}/\\xff.jpg"
    assert item.location is None
    assert item.read() == b"data"
    Path(os.fsdecode(path)).unlink()
    with pytest.raises(Unreadable) as raised:
        item.read()
    row = ScoredRow(item.path, error=str(raised.value), error_code="unreadable")
    (made,) = make_table([row], make_schema(["predictions"], {})).to_pylist()
    assert made["error"].endswith("\\udcff.jpg can't be read: No such file or directory")


def test_listing_a_large_folder_holds_packed_names_only(tmp_path: Path) -> None:
    count = 60_000
    for index in range(count):
        os.close(os.open(f"{tmp_path}/{index:08d}.jpg", os.O_CREAT | os.O_WRONLY))
    pa.array([b"imported"]).take(pa.array([0]))
    items = open_source(str(tmp_path), READING).items()
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    try:
        first = next(items)
        arrow = pa.total_allocated_bytes() - before
        rest = sum(1 for _ in items)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert first.path.endswith("00000000.jpg")
    assert rest == count - 1
    # A name, its place in the array and its place in the order; strings would be 70 bytes each.
    assert arrow <= count * (12 + 4 + 8) + 4096
    assert peak < 30 * count * 3


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "parquet"])
def test_lists_name_images(tmp_path: Path, kind: str) -> None:
    paths = []
    for name in ("1", "2.jpg", "with, comma.jpg"):
        (tmp_path / name).write_bytes(name.encode())
        paths.append(str(tmp_path / name))
    file = tmp_path / f"list.{kind}"
    if kind == "txt":
        file.write_text("\r\n".join(paths))
    elif kind == "parquet":
        parquet.write_table(pa.table({"id": [1, 2, 3], "path": paths}), file)
    else:
        separator = "," if kind == "csv" else "\t"
        lines = [f'{number}{separator}"{path}"' for number, path in enumerate(paths)]
        file.write_text("\n".join([f"id{separator}path", *lines]))
    assert [*contents(file)] == paths
    assert open_source(str(file), READING).count() == 3
    column = Reading(MAX_BYTES, column="absent")
    if kind != "txt":
        with pytest.raises(InvalidInput, match="absent"):
            contents(file, column)


def test_a_list_on_standard_input_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a\nb.jpg"
    path.write_bytes(b"data")
    standard_input = io.TextIOWrapper(io.BytesIO(os.fsencode(path) + b"\0"))
    monkeypatch.setattr(sys, "stdin", standard_input)
    assert contents("-", Reading(MAX_BYTES, separator=b"\0")) == {str(path): b"data"}


def test_a_list_without_line_breaks_is_none(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"x" * 200_000)
    with pytest.raises(InvalidInput, match="one path a line"):
        contents(file)
    assert isinstance(open_source(str(file), READING), LineSource)


def test_parquet_with_bytes(tmp_path: Path) -> None:
    file = tmp_path / "images.parquet"
    parquet.write_table(pa.table({"path": ["x", None], "bytes": [b"1", b"2"]}), file)
    assert contents(file) == {"x": b"1", f"{file}#1": b"2"}
    of_a_data_set = tmp_path / "hf.parquet"
    images = [{"bytes": b"1", "path": "a.jpg"}, {"bytes": None, "path": None}]
    parquet.write_table(pa.table({"image": images, "label": [0, 1]}), of_a_data_set)
    first, second = open_source(str(of_a_data_set), READING).items()
    assert (first.path, first.read()) == ("a.jpg", b"1")
    with pytest.raises(Unreadable, match="no bytes"):
        second.read()


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz"])
def test_tar_shards_give_their_images(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    write_tar(file, "w" if name == "x.tar" else "w:gz")
    read: list[object] = []
    for item in open_source(str(file), READING).items():
        try:
            read.append((item.path, item.read()))
        except Unreadable as error:
            read.append(str(error))
    assert read == [
        (f"{file}/a/0.jpg", jpeg(0)),
        (f"{file}/a/1.JPG", jpeg(1)),
        f"it has {MAX_BYTES + 1} bytes or more; at most {MAX_BYTES} are read",
    ]


def test_several_shards_by_number_and_by_pattern(tmp_path: Path) -> None:
    for number in range(8, 12):
        write_tar(tmp_path / f"s-{number:03d}.tar")

    def names(given: str) -> list[str]:
        return [item.path for item in open_source(f"{tmp_path}/{given}", READING).items()]

    assert len(names("s-{008..011}.tar")) == 12
    assert names("s-{008..011}.tar") == names("s-*.tar")
    with pytest.raises(InvalidInput, match="Nothing matches"):
        names("t-*.tar")


def test_a_damaged_archive_has_a_row_that_says_so(tmp_path: Path) -> None:
    whole = tmp_path / "x.tar"
    write_tar(whole)
    whole.write_bytes(whole.read_bytes()[:1500])
    first, last = open_source(str(whole), READING).items()
    assert first.path == f"{whole}/a/0.jpg"
    assert last.path == str(whole)
    with pytest.raises(Unreadable, match="can't be read on"):
        last.read()


def test_zip_and_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.jpg", jpeg())
        archive.writestr("readme.txt", "text")
        archive.writestr("bomb.png", b"\0" * 1_000_000)
    items: Iterator[Item] = open_source(str(file), READING).items()
    first, second = ((item.path, _outcome(item)) for item in items)
    assert first == (f"{file}/1.jpg", jpeg())
    assert second[1] == f"it has 1000000 bytes or more; at most {MAX_BYTES} are read"


def test_other_file_systems_are_those_of_fsspec() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/photos/b/1.jpg": b"1", "/photos/a.jpg": b"2", "/photos/.x": b"3"})
    assert contents("memory://photos") == {
        "memory://photos/a.jpg": b"2",
        "memory://photos/b/1.jpg": b"1",
    }
    assert [*contents("memory://photos/*.jpg").values()] == [b"2"]
    with pytest.raises(InvalidInput, match="no file system is known as nowhere://"):
        open_source("nowhere://photos", READING)
    with pytest.raises(InvalidInput, match="There is no memory://absent"):
        open_source("memory://absent", READING)


def test_shards_and_samples_are_by_path() -> None:
    items = [Item(f"photos/{index}.jpg", bytes) for index in range(1000)]

    def chosen(selection: Selection) -> list[str]:
        return [item.path for item in selection.apply(iter(items))]

    shards = [chosen(Selection(number, 3)) for number in range(3)]
    assert sorted(path for shard in shards for path in shard) == sorted(one.path for one in items)
    assert min(map(len, shards)) > 250
    sample = chosen(Selection(sample=0.2))
    assert 150 < len(sample) < 250
    assert chosen(Selection(sample=0.2, limit=7)) == sample[:7]
    # A sample of a shard is a part of the sample.
    assert set(chosen(Selection(1, 3, 0.2))) == set(sample) & set(shards[1])
    assert shard_of("3/8") == (2, 8)
    for wrong in ("0/8", "9/8", "1", "a/b", "1/0"):
        with pytest.raises(InvalidInput, match="--shard is i/n"):
            shard_of(wrong)


def test_a_list_of_a_million_names_is_not_held(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    with file.open("w") as out:
        out.writelines(f"photos/{index}.jpg\n" for index in range(200_000))
    tracemalloc.start()
    try:
        total = sum(1 for _ in islice(open_source(str(file), READING).items(), None))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 200_000
    assert peak < 2_000_000


def _outcome(item: Item) -> bytes | str:
    try:
        return item.read()
    except Unreadable as error:
        return str(error)


def test_a_remote_read_is_tried_again_and_a_missing_package_stops_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    def read(uri: str, most: int) -> bytes:
        tried.append(uri)
        if "broken" in uri or len(tried) < 3:
            raise ConnectionError("reset")
        if "absent" in uri:
            raise FileNotFoundError(uri)
        return b"x" * most

    monkeypatch.setattr(filesystem, "_read_remote", read)
    monkeypatch.setattr(filesystem._RETRYING, "sleep", lambda _: None)
    with pytest.raises(Unreadable, match="has more than 5 bytes"):
        read_location("memory://a", 5)
    assert len(tried) == 3
    with pytest.raises(Unreadable, match="reset"):
        read_location("memory://broken", 5)
    assert len(tried) == 6
    with pytest.raises(Unreadable, match="memory://absent"):
        read_location("memory://absent", 5)
    assert len(tried) == 7
    monkeypatch.undo()

    def without(_: str, uri: str) -> object:
        raise ImportError(f"a package for {uri}")

    monkeypatch.setattr(filesystem, "_through_fsspec", without)
    with pytest.raises(MissingDriver, match="memory:// can't be used: a package"):
        read_location("memory://a", 5)


@pytest.mark.parametrize(
    ("uri", "path", "name"),
    [
        ("gs://bucket/a/b/", "bucket/a/b", "gs://bucket/a/b"),
        ("gs://anonymous@bucket/a?scheme=http", "bucket/a", "gs://bucket/a"),
        ("gs://bucket?scheme=http", "bucket", "gs://bucket"),
        ("gs://bucket/a#1 ?.jpg", "bucket/a#1 ?.jpg", "gs://bucket/a#1 ?.jpg"),
        ("gs://bucket/a?b=c.jpg", "bucket/a?b=c.jpg", "gs://bucket/a?b=c.jpg"),
    ],
)
def test_addresses_of_a_bucket_keep_every_character_of_a_name(
    uri: str, path: str, name: str
) -> None:
    place = place_of(uri)
    assert (place.path, place.uri) == (path, name)


def test_what_is_listed_is_opened_as_its_folder_was_and_named_without_credentials() -> None:
    place = place_of("gs://anonymous@bucket/a?endpoint_override=localhost:1&scheme=http")
    name, location = place.within("bucket/a/x.jpg")
    assert name == "gs://bucket/a/x.jpg"
    assert location == ("gs://anonymous@bucket/a/x.jpg?endpoint_override=localhost:1&scheme=http")
    assert place_of(location).path == "bucket/a/x.jpg"


def test_no_message_has_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(uri: str, most: int) -> bytes:  # noqa: ARG001
        raise OSError("refused")

    monkeypatch.setattr(filesystem, "_read_remote", refuse)
    monkeypatch.setattr(filesystem, "_RETRYING", lambda read, *given: read(*given))
    with pytest.raises(Unreadable, match=r"^s3://bucket/a\.jpg can't be read: OSError: refused$"):
        read_location("s3://key:secret@bucket/a.jpg", MAX_BYTES)


def test_a_store_that_can_t_be_reached_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def open_uri(uri: str) -> tuple[object, str]:
        opened.append(uri)
        return object(), ""

    driver = SimpleNamespace(FileSystem=SimpleNamespace(from_uri=open_uri))
    monkeypatch.setattr(filesystem, "fs", driver)
    filesystem._native.__wrapped__("gs", "bucket", "")
    filesystem._native.__wrapped__("gs", "bucket", "?retry_limit_seconds=5")
    assert opened == ["gs://bucket/?retry_limit_seconds=30", "gs://bucket/?retry_limit_seconds=5"]


def test_hdfs_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARROW_LIBHDFS_DIR", "/nowhere")
    with pytest.raises(MissingDriver, match="HADOOP_HOME"):
        place_of("hdfs://namenode:8020/photos")


class NoReplacing(MemoryFileSystem):  # type: ignore[misc]
    """As WebHDFS: it gives no file a name that is taken, and does not say so."""

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        if not self.exists(path2):
            super().mv(path1, path2)


def write(text: bytes, stream: IO[bytes]) -> None:
    stream.write(text)


def test_a_file_is_replaced_where_a_rename_does_not_do_it() -> None:
    folder = NoReplacing()
    folder.mkdir("/replaced")
    store = fs.PyFileSystem(fs.FSSpecHandler(folder))
    place = Place(store, "/replaced/_score.json", "webhdfs://namenode/replaced/_score.json")
    for text in (b"first", b"second"):
        place.publish(partial(write, text))
        assert place.read() == text
    assert folder.ls("/replaced", detail=False) == ["/replaced/_score.json"]


def test_a_pattern_in_a_store_needs_no_second_driver(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    for name in ("0.tar", "1.tar", "other"):
        (tmp_path / "shards" / name).touch()
    # As the file systems of s3:// and gs:// are: pyarrow's, with paths that begin with no slash.
    store = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    place = Place(store, "shards/*.tar", "gs://shards/*.tar", "gs://me@", "?scheme=http")
    assert place.matching() == [
        "gs://me@shards/0.tar?scheme=http",
        "gs://me@shards/1.tar?scheme=http",
    ]
