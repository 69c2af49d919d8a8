"""Jobs in this process: rows, metadata, what is refused, what is continued."""

from __future__ import annotations

import csv
import json
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import dataset, parquet

from model_builder.artifact.manifest import Artifact
from service.scoring.errors import InputChanged, InvalidInput, OutputMismatch, ScoringStopped
from service.scoring.plan import Plan, carry_out
from service.scoring.scorer import Scorer
from service.scoring.sinks.parquet import FRACTION, LARGEST, SMALLEST, part_rows
from service.scoring.summary import Summary
from service.scoring.table import metadata_of
from service.settings import Settings
from tests.service.scoring.color_engine import SPEC
from tests.service.scoring.conftest import jpeg

Photos = Callable[[int], Path]
Score = Callable[..., Summary]
LABELS = ["red", "green", "blue", "black"]


def scorer_of(artifact: Artifact, *outputs: str, **options: Any) -> Scorer:
    settings = Settings.of(models=str(artifact.folder), decode_workers=1)
    return Scorer(settings, outputs or ("predictions",), engines=(SPEC,), **options)


def test_a_scorer_is_picklable_and_takes_paths_and_bytes(
    artifact: Artifact, tmp_path: Path
) -> None:
    scorer = pickle.loads(pickle.dumps(scorer_of(artifact, "predictions", "embedding", top_k=2)))
    file = tmp_path / "green.jpg"
    file.write_bytes(jpeg(1))
    table = pa.table(
        {
            "path": [str(file), "blue", "broken", "absent", "lost"],
            "bytes": [None, jpeg(2), b"x", None, None],
            "unreadable": [None, None, None, None, "the shard ends"],
        }
    )
    try:
        scored = scorer(table)
        assert scorer(table.slice(0, 0)).num_rows == 0
        # More than wait at the same time.
        many = scorer(pa.table({"bytes": [jpeg(index) for index in range(300)]})).to_pylist()
    finally:
        scorer.close()
    assert [row["path"] for row in many] == [str(index) for index in range(300)]
    assert [row["predictions"][0]["label"] for row in many[:4]] == LABELS
    assert scored.column_names == ["path", "predictions", "embedding", "error", "error_code"]
    assert scored.schema.field("embedding").type == pa.list_(pa.float32(), 512)
    green, blue, broken, absent, lost = scored.to_pylist()
    assert green["predictions"][0]["label"] == "green"
    assert len(green["predictions"]) == 2
    assert blue["predictions"][0]["label"] == "blue"
    np.testing.assert_allclose(blue["embedding"][:3], [0, 0, 1], atol=0.01)
    assert (broken["predictions"], broken["embedding"]) == (None, None)
    assert broken["error_code"] == "unsupported_media_type"
    assert absent["error_code"] == "unreadable"
    assert absent["error"] == "absent can't be read: No such file or directory"
    assert (lost["error"], lost["error_code"]) == ("the shard ends", "unreadable")


def test_other_outputs_and_too_many_classes_are_refused(artifact: Artifact) -> None:
    with pytest.raises(InvalidInput, match="Received: class_activation_map"):
        scorer_of(artifact, "class_activation_map")
    with pytest.raises(InvalidInput, match="Received: none"):
        Scorer(Settings(), ())
    scorer = scorer_of(artifact, top_k=6)
    try:
        with pytest.raises(InvalidInput, match="top_k must be 1 to 5"):
            scorer.describe()
    finally:
        scorer.close()


def test_a_model_that_does_not_load_stops_the_job(tmp_path: Path) -> None:
    with pytest.raises(ScoringStopped, match="can't be loaded"):
        Scorer(Settings.of(models=str(tmp_path), offline=True)).describe()


def test_a_folder_of_parts(photos: Photos, score: Score, tmp_path: Path) -> None:
    folder, out = photos(150), tmp_path / "out"
    (folder / "bad.jpg").write_bytes(b"bad")
    summary = score(folder, out, outputs=("predictions", "logits"), top_k=1)
    assert (summary.images, summary.scored_now, summary.failed) == (151, 151, 1)
    assert summary.errors == {"unsupported_media_type": 1}
    assert sorted(summary.classes) == sorted(LABELS)
    names = sorted(path.name for path in out.iterdir())
    assert names == ["_score.json", *(f"part-{start:012d}.parquet" for start in (0, 64, 128))]
    table = dataset.dataset(out).to_table()
    assert table.num_rows == 151
    assert table.column("logits").type == pa.list_(pa.float32(), 5)
    assert table.column("logits").null_count == 1
    record = metadata_of(parquet.read_schema(out / names[1]))
    assert record is not None
    assert (record["model"], record["precision"]) == ("resnet18.colors", "float32")
    assert record["recipe"]["resize_edge"] == 40
    assert record["artifact"].startswith("sha256-")
    assert {"resnet-server", "pyarrow"} <= record["versions"].keys()
    kept = json.loads((out / "_score.json").read_text())
    assert (kept["rows"], kept["complete"]) == (151, True)
    assert score(folder, out, outputs=("predictions", "logits"), top_k=1).scored_now == 0


def test_one_file_grows_with_the_limit(photos: Photos, score: Score, tmp_path: Path) -> None:
    folder, out = photos(150), tmp_path / "out.parquet"
    assert score(folder, out, limit=70).images == 70
    assert score(folder, out, limit=70).scored_now == 0
    # A process that ended when the file was there leaves the parts that it was made of.
    parts = tmp_path / "out.parquet.parts"
    parts.mkdir()
    (parts / "part-000000000000.parquet").write_bytes(out.read_bytes())
    record = {"complete": False, **(metadata_of(parquet.read_schema(out)) or {})}
    (parts / "_score.json").write_text(json.dumps(record))
    assert score(folder, out).scored_now == 80
    paths = parquet.read_table(out).column("path").to_pylist()
    assert paths == sorted(str(path) for path in folder.rglob("*.jpg"))
    assert not parts.exists()


def test_lines_hold_what_a_terminal_or_a_spreadsheet_would_obey(
    score: Score, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    names = ["a\nb.jpg", 'c"d,e.jpg', "plain.jpg"]
    for name in names:
        (folder / name).write_bytes(jpeg())
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"=HYPERLINK(1)\0'quoted\0@x\0" + f"{folder}/a\nb.jpg".encode())
    for suffix in ("csv", "jsonl"):
        score(folder, tmp_path / f"out.{suffix}")
        again = score(folder, tmp_path / f"out.{suffix}")
        assert (again.images, again.scored_now, again.classes) == (3, 0, {"red": 3})
        score(listed, tmp_path / f"list.{suffix}", separator=b"\0")
        assert score(listed, tmp_path / f"list.{suffix}", separator=b"\0").scored_now == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["path"] for row in rows] == [f"{folder}/{name}" for name in names]
    assert rows[0]["label"] == "red"
    assert float(rows[0]["probability"]) > 0.5
    with (tmp_path / "list.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["path"] for row in rows[:3]] == ["'=HYPERLINK(1)", "''quoted", "'@x"]
    assert rows[0]["error_code"] == "unreadable"
    lines = (tmp_path / "list.jsonl").read_text().splitlines()
    assert [json.loads(line)["path"] for line in lines][:2] == ["=HYPERLINK(1)", "'quoted"]
    assert len(lines) == 4


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_cut_record_is_written_again(
    photos: Photos, score: Score, tmp_path: Path, suffix: str
) -> None:
    folder, out = photos(20), tmp_path / f"out.{suffix}"
    (folder / "0" / 'with\n"break.jpg').write_bytes(jpeg())
    score(folder, out)
    whole = out.read_bytes()
    for length in (0, 5, len(whole) // 2, whole.index(b"break"), len(whole) - 1):
        out.write_bytes(whole[:length])
        assert score(folder, out).images == 21
        assert _paths(out) == sorted(str(path) for path in folder.rglob("*.jpg"))
    # As after a loss of power: a length without content.
    out.write_bytes(whole[: len(whole) // 2] + b"\0" * 4096)
    assert score(folder, out).images == 21
    assert _paths(out) == sorted(str(path) for path in folder.rglob("*.jpg"))


def _paths(out: Path) -> list[str]:
    with out.open(newline="") as file:
        if out.suffix == ".csv":
            return [row["path"] for row in csv.DictReader(file)]
        return [json.loads(line)["path"] for line in file]


@pytest.mark.parametrize("name", ["out", "out.parquet", "out.jsonl", "out.csv"])
def test_another_job_is_refused_with_what_differs(
    photos: Photos, score: Score, tmp_path: Path, name: str
) -> None:
    folder, out = photos(10), tmp_path / name
    score(folder, out)
    with pytest.raises(OutputMismatch, match=r'outputs was \["predictions"\], and is \["logits"'):
        score(folder, out, outputs=("logits",))
    with pytest.raises(OutputMismatch, match="top_k was 5, and is 2"):
        score(folder, out, top_k=2)
    with pytest.raises(OutputMismatch, match='shard was "1/1", and is "1/2"'):
        score(folder, out, shard="1/2")
    (folder / "1" / "00003.jpg").rename(folder / "1" / "0000x.jpg")
    with pytest.raises(InputChanged, match="now it has"):
        score(folder, out)


@pytest.mark.parametrize("name", ["out/x.txt", "out.parquet", "out.jsonl"])
def test_what_others_wrote_is_left_alone(
    photos: Photos, score: Score, tmp_path: Path, name: str
) -> None:
    theirs = tmp_path / name
    theirs.parent.mkdir(exist_ok=True)
    if name == "out.parquet":
        parquet.write_table(pa.table({"path": ["x"]}), theirs)
    else:
        theirs.write_text("theirs")
    before = theirs.read_bytes()
    with pytest.raises(OutputMismatch):
        score(photos(2), tmp_path / name.partition("/")[0])
    assert theirs.read_bytes() == before


def test_two_jobs_do_not_write_to_one_output(photos: Photos, score: Score, tmp_path: Path) -> None:
    from service.scoring.filesystem import place_of
    from service.scoring.sinks.lock import lock_output

    lock = lock_output(place_of(str(tmp_path / "out")))
    assert lock is not None
    try:
        with pytest.raises(OutputMismatch, match="Another process writes"):
            score(photos(2), tmp_path / "out")
    finally:
        lock.release()


def test_shards_have_every_image_once(photos: Photos, score: Score, tmp_path: Path) -> None:
    folder = photos(40)
    parts = [score(folder, tmp_path / f"{i}", shard=f"{i}/3").images for i in (1, 2, 3)]
    assert sum(parts) == 40
    paths = [p for i in (1, 2, 3) for p in dataset.dataset(tmp_path / f"{i}").to_table()["path"]]
    assert len({path.as_py() for path in paths}) == 40


def test_other_file_systems_are_written_to(photos: Photos, score: Score) -> None:
    memory = fsspec.filesystem("memory")
    for out in ("memory://scores", "memory://one.parquet"):
        assert score(photos(70), out, limit=66).images == 66
        assert score(photos(70), out).scored_now == 4
    assert [name.rpartition("/")[2] for name in sorted(memory.ls("/scores", detail=False))] == [
        "_score.json",
        *(f"part-{start:012d}.parquet" for start in (0, 64, 66)),
    ]
    with memory.open("/one.parquet") as file:
        assert parquet.read_table(file).num_rows == 70
    assert not memory.exists("/one.parquet.parts/_score.json")
    with pytest.raises(InvalidInput, match="Lines are written to local files"):
        score(photos(1), "memory://out.jsonl")


def test_standard_output_has_json_lines(
    photos: Photos, score: Score, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    score(photos(5), "-")
    out, _ = capfdbinary.readouterr()
    assert [json.loads(line)["predictions"][0]["label"] for line in out.splitlines()] == [
        *("red", "blue", "red", "green", "black"),
    ]


def test_a_stopped_job_takes_no_more_images(photos: Photos, score: Score, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    assert score(photos(5), tmp_path / "out", stop=stop).images == 0
    assert score(photos(5), tmp_path / "out").images == 5


def test_parts_grow_with_what_came_before_them() -> None:
    assert part_rows(0) == part_rows(SMALLEST * FRACTION) == SMALLEST
    assert part_rows(20_000) == 78
    assert part_rows(10**9) == LARGEST


@pytest.mark.parametrize("name", ["out", "out.parquet", "out.jsonl", "out.csv", "0/out"])
def test_an_output_within_the_input_is_no_input(
    photos: Photos, score: Score, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(photos(100))
    assert score(".", name, limit=70).images == 70
    assert score(".", name).images == score(".", name).images == 100


@pytest.mark.parametrize("name", ["out", "out.parquet"])
def test_what_a_killed_process_left_unpublished_is_deleted(
    photos: Photos, score: Score, tmp_path: Path, name: str
) -> None:
    unpublished = f".part-000000000000.parquet.{'0a' * 16}"
    folder = tmp_path / (name if name == "out" else f"{name}.parts")
    folder.mkdir()
    (folder / unpublished).write_bytes(b"half")
    others = tmp_path / f".other.parquet.{'0a' * 16}"
    ours = tmp_path / f".out.parquet.{'0a' * 16}"
    for path in (others, ours):
        path.write_bytes(b"half")
    assert score(photos(3), tmp_path / name).images == 3
    assert not (folder / unpublished).exists()
    assert others.exists()
    assert ours.exists() == (name == "out")


@pytest.mark.parametrize("name", ["out", "out.jsonl", "out.csv"])
def test_a_damaged_output_is_refused(
    photos: Photos, score: Score, tmp_path: Path, name: str
) -> None:
    folder, out = photos(10), tmp_path / name
    score(folder, out)
    damaged = out / "part-000000000000.parquet" if name == "out" else out
    damaged.write_bytes(b"not what was written\n" * 2)
    with pytest.raises(OutputMismatch, match="can't be read"):
        score(folder, out)


@pytest.mark.parametrize("name", ["out", "out.parquet", "out.jsonl", "out.csv"])
def test_an_empty_input_gives_an_empty_output(score: Score, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    for _ in range(2):
        assert score(tmp_path / "empty", tmp_path / name).images == 0
    if name == "out.parquet":
        assert parquet.read_table(tmp_path / name).num_rows == 0


@pytest.mark.parametrize("name", ["out.xls", "memory://scores/out.csv"])
def test_an_output_that_is_not_written_is_refused_before_a_model_is_loaded(
    photos: Photos, tmp_path: Path, name: str
) -> None:
    plan = Plan(str(photos(1)), name if "://" in name else str(tmp_path / name))
    # No model has this name.
    settings = Settings.of(models="resnet9")
    with pytest.raises(InvalidInput, match=r"Write Parquet there|Outputs are a folder"):
        carry_out(plan, settings, threading.Event())
