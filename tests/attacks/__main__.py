"""Attacks a real server and prints a table: `python -m tests.attacks [--scale 0.3] [NAME ...]`.

Each row starts a server, alone or behind nginx with deploy/nginx.conf, observes an honest client of
five photos a second before and during the attack, and checks what must hold: docs/reliability.md.
The table goes to stdout, progress to stderr. The exit status is 1 if anything does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from tests.attacks import images
from tests.attacks.attack import PLACES, Attack, Place
from tests.attacks.attackers.process import attacker_processes
from tests.attacks.catalog import ATTACKS
from tests.attacks.report import HEADER, line, line_of_failure
from tests.attacks.runner import Setting, run
from tests.e2e.faults.stack import ROOT
from tests.nginx import NGINX

PHOTO = ROOT / "tests" / "photos" / "coffee_cup.jpg"
# For the bodies of all requests, as in a small container; and the limit for the process tree.
PENDING_BYTES, MEMORY_MB = 256 * 2**20, 1500
GUARD_MB = 3600
IMAGES = Path(tempfile.gettempdir()) / "resnet-attacks"

Selection = list[tuple[str, Attack, Place]]


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def report_progress(words: str) -> None:
    """Writes a line to stderr, with the load average of the last minute."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} load {os.getloadavg()[0]:.1f} {words}\n")
    sys.stderr.flush()


def report_step(row: str, step: str) -> None:
    report_progress(f"{row}: {step}")


def selected(patterns: list[str], places: list[Place]) -> Selection:
    """Rows whose name matches one of the patterns; every row without patterns."""
    return [
        (name, attack, place)
        for name, attack in ATTACKS.items()
        if not patterns or any(fnmatch(name, pattern) for pattern in patterns)
        for place in attack.places
        if place in places
    ]


def listing() -> str:
    return "\n".join(
        f"{name:20} {attack.title} ({', '.join(attack.places)}; {len(attack.sources)} addresses)"
        for name, attack in ATTACKS.items()
    )


async def run_all(selection: Selection, setting: Setting, niceness: int) -> bool:
    """Prints a line for each row. Returns whether everything held in every row."""
    all_hold = True
    this = asyncio.current_task()
    assert this is not None
    # So that no server is left behind.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    say(HEADER)
    for number, (name, attack, place) in enumerate(selection, 1):
        at = f"{number} of {len(selection)}, {name}, {place}"
        try:
            with attacker_processes(len(attack.sources), niceness) as executor:
                row = await run(attack, place, setting, executor, partial(report_step, at))
        except Exception as error:
            # The other rows are run all the same.
            all_hold = False
            say(line_of_failure(attack, place, error))
            continue
        all_hold = all_hold and row.holds
        say(line(row))
    return all_hold


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="names of rows, with * and ?; default: all")
    parser.add_argument("--list", action="store_true", help="list the rows and exit")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="factor of all durations; default: 1"
    )
    parser.add_argument("--place", choices=PLACES, action="append", help="default: both")
    parser.add_argument("--home", type=Path, default=os.environ.get("RESNET_HOME"))
    parser.add_argument("--precision", default=os.environ.get("RESNET_PRECISION", "int8"))
    parser.add_argument("--images", type=Path, default=IMAGES, help="cache of the expensive images")
    parser.add_argument("--memory-mb", type=float, default=MEMORY_MB, help="limit to check")
    parser.add_argument(
        "--guard-mb", type=float, default=GUARD_MB, help="a server with more memory is killed"
    )
    parser.add_argument(
        "--nice", type=int, default=10, help="niceness of the attackers; default: 10"
    )
    given = parser.parse_args()
    if given.list:
        say(listing())
        return 0
    selection = selected(given.names, given.place or list(PLACES))
    if not selection:
        parser.error("no row has such a name: --list")
    if given.home is None:
        parser.error("needs --home: a cache that has the artifact")
    if NGINX is None and any(place == "nginx" for *_, place in selection):
        parser.error("needs nginx, or --place alone")
    with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
        home = Path(folder) / "home"
        for artifact in given.home.glob(f"artifacts/*-{given.precision}"):
            shutil.copytree(artifact, home / "artifacts" / artifact.name)
        if any(attack.images for _, attack, _ in selection):
            report_progress("choosing the most expensive images")
            for image in images.prepare(given.images, report_progress):
                cost = f"{image.count} x {image.name}, {image.seconds:.1f} s of CPU"
                report_progress(f"{image.format}: {cost}")
        setting = Setting(
            environment={
                "RESNET_HOME": str(home),
                "RESNET_PRECISION": given.precision,
                "RESNET_OFFLINE": "true",
                "RESNET_MAX_PENDING_BYTES": str(PENDING_BYTES),
                # The load stays on this machine.
                "RESNET_HOST": "127.0.0.1",
            },
            photo=PHOTO.read_bytes(),
            images=given.images,
            promised_bytes=round(given.memory_mb * 1e6),
            most_bytes=round(given.guard_mb * 1e6),
            scale=given.scale,
        )
        return 0 if asyncio.run(run_all(selection, setting, given.nice)) else 1


if __name__ == "__main__":
    sys.exit(main())
