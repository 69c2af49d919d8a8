"""Kills jobs on many images, and says what that cost: a run of minutes, by hand.

    python -m tests.service.scoring.kills FOLDER [--images 20000] [--on ray] [--kill worker]

FOLDER: for the images and outputs. --kill: what is killed with -9, three times: the driver (the
command, started again), a worker (an actor of Ray; on this machine the decoding processes), or a
node of the cluster. A stand-in for the network computes.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from pyarrow import parquet

from tests.service.color_artifact import MODEL_NAME, write_color_artifact
from tests.service.scoring.conftest import JobProcess
from tests.service.scoring.kills.counted_engine import COUNT_FILE

SIZE = 64
KILLS = (0.235, 0.495, 0.765)


def generate(folder: Path, images: int) -> None:
    """JPEGs of noise, each another."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(len(list(folder.iterdir())), images):
        pixels = np.random.default_rng(index).integers(1, 255, (SIZE, SIZE, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG")
        (folder / f"{index:06d}.jpg").write_bytes(file.getvalue())


def make_job(folder: Path, on: str, address: str | None) -> JobProcess:
    artifact, count_file = folder / MODEL_NAME, folder / "count"
    if not artifact.exists():
        write_color_artifact(artifact)
    names = (folder / "photos", folder / "out", artifact, count_file)
    arguments = [*map(str, names), "predictions,embedding", on]
    return JobProcess(arguments, count_file, {"RAY_ADDRESS": address} if address else {})


def workers(process: subprocess.Popen[str], cluster: subprocess.Popen[str] | None) -> list[int]:
    """Of a cluster one actor, and here every decoding process."""
    parent = process if cluster is None else cluster
    children = psutil.Process(parent.pid).children(recursive=True)
    if cluster is None:
        return [one.pid for one in children]
    return [one.pid for one in children if any("MapWorker" in part for part in one.cmdline())][:1]


def main(folder: Path, images: int, on: str, kind: str) -> None:
    generate(folder / "photos", images)
    cluster = None
    if on == "ray":
        environment = dict(os.environ) | {
            "PYTHONPATH": os.getcwd(),
            "RAY_AUTH_MODE": "disabled",
            COUNT_FILE: str(folder / "count"),
        }
        cluster = subprocess.Popen(
            [sys.executable, "-m", "tests.service.scoring.kills.ray_nodes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
    address = None if cluster is None else _line(cluster)
    job = make_job(folder, on, address)
    started, process, at = time.monotonic(), job.start(), []
    for part in KILLS:
        while job.computed < part * images and process.poll() is None:
            time.sleep(0.005)
        assert process.poll() is None, process.returncode
        at.append(job.computed)
        if kind == "driver":
            process.kill()
            process.communicate()
            process = job.start()
        elif kind == "worker":
            for pid in workers(process, cluster):
                psutil.Process(pid).kill()
        elif cluster is not None and cluster.stdin is not None:
            cluster.stdin.write("kill\n")
            cluster.stdin.flush()
            _line(cluster)
    out, _ = process.communicate()
    if cluster is not None:
        cluster.communicate("")
    paths = parquet.read_table(folder / "out").column("path").to_pylist()
    expected = sorted(str(path) for path in (folder / "photos").iterdir())
    sys.stdout.write(
        f"{kind} on {on}: killed after {at}; status {process.returncode}, says {out.strip()!r}; "
        f"{len(paths)} rows, each image once and in order: {paths == expected}; "
        f"{job.computed - images} computed again; {time.monotonic() - started:.0f} s\n"
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--on", choices=("local", "ray"), default="local")
    parser.add_argument("--kill", choices=("driver", "worker", "node"), default="driver")
    given = parser.parse_args()
    main(given.folder.absolute(), given.images, given.on, given.kill)
