"""Reads damaged files of everything that `resnet import` takes, and damaged images, for hours.

    python -m tests.fuzz.imports FOLDER [--of weights,labels,recipes] [--seconds 3600] [--seed 0]
    python -m tests.fuzz.imports FOLDER --of images --seconds 3600
    python -m tests.fuzz.imports FOLDER --files 500

Only the errors that a reader raises on purpose may come out, within 256 MiB and 5 s of CPU a file,
and what is read must be sound. Prints a line every five minutes, each finding with its traceback,
and a last line that begins with END. FOLDER/findings holds the files. "crashed" counts the crashes
of the process that reads HDF5, which are refused as they should be.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from safetensors.numpy import save

from model_builder.artifact.labels import read_labels
from model_builder.checkpoints.formats.hdf5 import reader
from model_builder.checkpoints.loader import read_checkpoint
from model_builder.checkpoints.recipe.files import Beside, read_recipe
from model_builder.checkpoints.recipe.within import labels_within
from model_builder.errors import ConversionFailed
from tests.fuzz import checkpoints, import_seeds, onnx_seeds
from tests.fuzz.guarded import Case, Limits, run
from tests.fuzz.hdf5_fork import run_in_fork
from tests.fuzz.image_files import image_files
from tests.fuzz.json_mutations import changed, written
from tests.fuzz.mutations import damage

MESSAGE_CHARACTERS = 4100
# Of `read_checkpoint`. libhdf5 asks for what a file states before it reads, and touches none of it.
OUT_OF_MEMORY = "does not fit into this machine's memory"
CRASHED, FAILED = "ended with signal", "ended with status"
KERAS = ("a.weights.h5", "a.h5", "keras.h5")


def refused_or(read: Callable[[], object]) -> str:
    """ "read", "refused" or "crashed". Raises what is no refusal, and on a message that is none."""
    try:
        read()
    except ConversionFailed as error:
        message = str(error)
        if "\n" in message or len(message) > MESSAGE_CHARACTERS or OUT_OF_MEMORY in message:
            raise AssertionError(f"the message: {message[:500]}") from error
        if FAILED in message:
            raise AssertionError("an exception in the process that reads HDF5") from error
        return "crashed" if CRASHED in message else "refused"
    return "read"


def read_weights(path: Path) -> None:
    found = read_checkpoint(path)
    for name, values in found.tensors.items():
        assert values.dtype == np.float32, name
        assert np.isfinite(values).all(), name
    if found.format in ("torch", "transformers") and path.is_file():
        labels_within(path)


def read_label_names(path: Path) -> None:
    names = [label.name for label in read_labels(path)]
    assert names
    assert len({*names}) == len(names)
    for name in names:
        assert name == name.strip() != "", repr(name)
        assert name.isprintable() or len(name.splitlines()) == 1, repr(name)
        assert "\ufeff" not in name, repr(name)


def read_beside(weights: Path) -> None:
    Beside(weights).recipe()
    Beside(weights).labels()


def weight_files(
    damaged: Callable[[Path, int], Iterator[tuple[str, Path]]], folder: Path, seed: int
) -> Iterator[Case]:
    for description, path in damaged(folder, seed):
        yield description, path, partial(refused_or, partial(read_weights, path))


def shards(folder: Path, seed: int) -> Iterator[Case]:
    """An index, its two files and the hub's two JSON files beside them."""
    chance = random.Random(seed)
    tensors = checkpoints.state_dict()
    names = sorted(tensors)
    halves = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    files = {name: save({key: tensors[key] for key in keys}) for name, keys in halves.items()}
    index = {"weight_map": {key: name for name, keys in halves.items() for key in keys}}
    described = {
        "config.json": import_seeds.HUB,
        "preprocessor_config.json": import_seeds.PROCESSOR,
    }
    (folder := folder / "hub").mkdir()
    path = folder / "model.safetensors.index.json"
    while True:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        for name, value in described.items():
            (folder / name).write_bytes(written(changed(value, chance), chance))
        path.write_bytes(json.dumps(index).encode())
        what = chance.choice((*files, path.name, "config.json"))
        if what == path.name:
            path.write_bytes(written(changed(index, chance), chance))
        elif what in files:
            (folder / what).write_bytes(damage(files[what], chance, files)[1])
        yield what, folder, partial(refused_or, partial(read_weights, folder))


def keras_files(folder: Path, seed: int) -> Iterator[Case]:
    """Bytes and JSON of `.h5`, `.weights.h5` and `.keras`; the seeds are in FOLDER/keras."""
    chance = random.Random(seed)
    seeds = {name: (folder.parent.parent / "keras" / name).read_bytes() for name in KERAS}
    config = json.loads((folder.parent.parent / "keras" / "config.json").read_text())
    while True:
        kind = chance.choice(("a.weights.h5", "a.h5", "keras", "keras", "h5 config"))
        if kind == "h5 config":
            path = folder / "x.h5"
            path.write_bytes(seeds["a.h5"])
            with h5py.File(path, "r+") as file:
                text = written(changed(config, chance), chance).decode("utf-8", errors="replace")
                file.attrs["model_config"] = text.replace("\0", "")
            done = "its JSON"
        elif kind == "keras":
            path = folder / "x.keras"
            content, done = seeds["keras.h5"], "its JSON"
            described = json.dumps(config).encode()
            if chance.random() < 0.6:
                described = written(changed(config, chance), chance)
            else:
                done, content = damage(content, chance, seeds)
            with zipfile.ZipFile(path, "w", chance.choice((0, 8))) as archive:
                archive.writestr("config.json", described)
                archive.writestr("model.weights.h5", content)
            if chance.random() < 0.2:
                more, data = damage(path.read_bytes(), chance, seeds)
                path.write_bytes(data)
                done += f", then the zip: {more}"
        else:
            path = folder / f"x.{kind}"
            done, data = damage(seeds[kind], chance, seeds)
            path.write_bytes(data)
        yield f"{kind}: {done}", path, partial(refused_or, partial(read_weights, path))


def tfjs_files(folder: Path, seed: int) -> Iterator[Case]:
    chance = random.Random(seed)
    model, content = import_seeds.tfjs(checkpoints.state_dict())
    (folder := folder / "tfjs").mkdir()
    while True:
        (folder / "group1-shard1of1.bin").write_bytes(content)
        (folder / "model.json").write_bytes(written(changed(model, chance), chance))
        yield "model.json", folder, partial(refused_or, partial(read_weights, folder))


def label_files(folder: Path, seed: int) -> Iterator[Case]:
    chance = random.Random(seed)
    texts = import_seeds.LABELS
    while True:
        name = chance.choice(list(texts))
        if name.endswith(".json") and chance.random() < 0.6:
            done, data = "JSON", written(changed(json.loads(texts[name]), chance), chance)
        else:
            done, data = damage(texts[name], chance, texts)
        suffix = chance.choice((Path(name).suffix, ".txt", ".json", ".csv", ".tsv", ".yaml", ""))
        path = folder / f"labels{suffix}"
        path.write_bytes(data)
        yield f"{name}: {done}", path, partial(refused_or, partial(read_label_names, path))


def recipe_files(folder: Path, seed: int) -> Iterator[Case]:
    chance = random.Random(seed)
    seeds = {"config.json": import_seeds.HUB, "timm": import_seeds.TIMM}
    seeds["preprocessor_config.json"] = import_seeds.PROCESSOR
    raw = {name: json.dumps(value).encode() for name, value in seeds.items()}
    (folder := folder / "recipes").mkdir()
    while True:
        name = chance.choice(list(seeds))
        path = folder / ("config.json" if name == "timm" else name)
        for other in folder.iterdir():
            other.unlink()
        data = written(changed(seeds[name], chance), chance)
        if chance.random() < 0.3:
            data = damage(raw[name], chance, raw)[1]
        path.write_bytes(data)
        read = chance.choice((partial(read_recipe, path), partial(read_beside, folder)))
        yield name, path, partial(refused_or, read)


torch_files = partial(weight_files, checkpoints.damaged)
onnx_files = partial(weight_files, onnx_seeds.damaged)
SOURCES: dict[str, tuple[Callable[[Path, int], Iterator[Case]], ...]] = {
    "weights": (torch_files, keras_files, torch_files, keras_files, shards, tfjs_files, onnx_files),
    "labels": (label_files,),
    "recipes": (recipe_files,),
    "images": (image_files,),
}


def cases(sources: list[str], folder: Path, seed: int) -> Iterator[Case]:
    """A file of each source in turn."""
    reader.run_process = run_in_fork
    made = []
    for number, source in enumerate(one for name in sources for one in SOURCES[name]):
        (own := folder / str(number)).mkdir()
        made.append(source(own, seed * 100 + number))
    while True:
        for one in made:
            yield next(one)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--of", default="weights,labels,recipes")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--files", type=int, default=sys.maxsize)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    sources = options.of.split(",")
    if "weights" in sources and not (keras := options.folder / "keras").exists():
        keras.mkdir()
        subprocess.run([sys.executable, "-m", "tests.fuzz.keras_seeds", str(keras)], check=True)
    run(
        partial(cases, sources),
        options.folder,
        seconds=options.seconds if options.files == sys.maxsize else math.inf,
        files=options.files,
        seed=options.seed,
        limits=Limits(),
    )


if __name__ == "__main__":
    main()
