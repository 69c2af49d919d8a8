"""Reads damaged PyTorch files: whatever is in them, only ConversionFailed may come out.

    python -m tests.fuzz.checkpoints --seconds 120 --seed 1

Files are small ones with the names of a ResNet-18, in every format and with the values that people
save beside tensors. Damage is that of `mutations`, of which the pickle in a zip gets most.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from safetensors.numpy import save

from model_builder.checkpoints.formats.state_dict import Array
from model_builder.checkpoints.loader import read_checkpoint
from model_builder.errors import ConversionFailed
from tests.fuzz.mutations import damage
from tests.model_builder.torch_files import Made, save_legacy, save_zip, tensors, write_zip

BLOCKS = [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
FIELDS = ("weight", "bias", "running_mean", "running_var")


def state_dict() -> dict[str, Array]:
    """The names of a ResNet-18 with tensors of a few numbers."""
    layers = ["conv1", *(f"{block}.conv{i}" for block in BLOCKS for i in (1, 2))]
    norms = ["bn1", *(f"{block}.bn{i}" for block in BLOCKS for i in (1, 2))]
    for stage in (2, 3, 4):
        layers.append(f"layer{stage}.0.downsample.0")
        norms.append(f"layer{stage}.0.downsample.1")
    found: dict[str, Array] = {}
    found |= {f"{layer}.weight": np.ones((2, 2, 1, 1), np.float32) for layer in layers}
    for norm in norms:
        found |= {f"{norm}.{field}": np.ones(2, np.float32) for field in FIELDS}
    return {**found, "fc.weight": np.ones((3, 2), np.float32), "fc.bias": np.ones(3, np.float32)}


def seeds(folder: Path) -> dict[str, bytes]:
    """Sound files and the pickles of them, by a description."""
    plain = tensors(state_dict())
    beside = {
        "epoch": 3,
        "args": Made("argparse", "Namespace", (), {"lr": 0.1, "data": ["a", (1, 2), None]}),
        "best": Made("numpy._core.multiarray", "scalar", ("f8", b"12345678")),
        "state_dict": {f"module.{name}": one for name, one in plain.items()},
        "ema": plain,
    }
    files = {
        "zip": save_zip(folder / "a.pth", plain).read_bytes(),
        "zip with more": save_zip(folder / "b.pth", beside).read_bytes(),
        "legacy": save_legacy(folder / "c.pth", beside).read_bytes(),
        "safetensors": save(state_dict()),
    }
    with zipfile.ZipFile(folder / "b.pth") as archive:
        members = {name.removeprefix("archive/"): archive.read(name) for name in archive.namelist()}
    MEMBERS.update(members)
    files["pickle"] = members["data.pkl"]
    return files


MEMBERS: dict[str, bytes] = {}
NAMES = (
    b"torch._utils\n_rebuild_tensor_v2",
    b"torch._utils\n_rebuild_parameter",
    b"torch._tensor\n_rebuild_from_type_v2",
    b"torch\nFloatStorage",
    b"torch\nSize",
    b"collections\nOrderedDict",
    b"builtins\nset",
    b"_codecs\nencode",
    b"numpy._core.multiarray\n_reconstruct",
    b"numpy._core.numeric\n_frombuffer",
    b"numpy\ndtype",
    b"argparse\nNamespace",
    b"builtins\ngetattr",
    b"os\nsystem",
)


def made(chance: random.Random) -> bytes:
    """A pickle of random opcodes, most of which find what they need on the stack."""
    parts = [b"\x80\x04"]
    for _ in range(chance.randrange(1, 200)):
        opcode = chance.choice(b"(((00N\x88]})\x8ftld\x85\x86\x87aesu\x90RRR\x81bbQ2hhqKMXCcj\x94")
        parts.append(bytes([opcode]))
        if opcode in b"hqK":
            parts.append(bytes([chance.randrange(8)]))
        elif opcode in b"MX":
            value = chance.choice((b"layer1.0.conv1.weight", b"latin1", b"storage", b"f4"))
            length = len(value).to_bytes(4, "little")
            parts.append(b"\xff\xff" if opcode == b"M"[0] else length + value)
        elif opcode == b"C"[0]:
            parts.append(b"\x04abcd")
        elif opcode == b"c"[0]:
            parts.append(chance.choice(NAMES) + b"\n")
        elif opcode == b"j"[0]:
            parts.append(bytes([chance.randrange(8), 0, 0, 0]))
    return b"".join([*parts, b"."])


def damaged(folder: Path, seed: int) -> Iterator[tuple[str, Path]]:
    """Endless: a description and a file."""
    chance = random.Random(seed)
    files = seeds(folder)
    names = [*files, *["pickle"] * 6, "legacy", "legacy", *["made"] * 4]
    while True:
        name = chance.choice(names)
        if name == "made":
            done, data = "random opcodes", made(chance)
        else:
            done, data = damage(files[name], chance, files)
        path = folder / ("x.safetensors" if name == "safetensors" else "x.pth")
        if name in ("pickle", "made"):
            write_zip(path, {**MEMBERS, "data.pkl": data})
        else:
            path.write_bytes(data)
        yield f"{name}: {done}", path


def outcome(path: Path) -> str:
    """What reading ends in. Raises what is no ConversionFailed."""
    try:
        read_checkpoint(path)
    except ConversionFailed as error:
        text = str(error)
        if "\n" in text or len(text) > 3000:
            raise AssertionError(f"the message is long: {text[:300]}") from error
        return "refused"
    return "read"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = Console()
    counts: Counter[str] = Counter()
    end = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as folder:
        for description, path in damaged(Path(folder), options.seed):
            try:
                counts[outcome(path)] += 1
            except Exception:
                counts["failed"] += 1
                kept = Path(tempfile.gettempdir()) / f"found-{counts['failed']}{path.suffix}"
                kept.write_bytes(path.read_bytes())
                console.print(f"{description}: {kept}\n{traceback.format_exc()[-1500:]}")
            if time.monotonic() > end:
                break
    console.print(dict(counts))


if __name__ == "__main__":
    main()
