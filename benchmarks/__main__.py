"""python -m benchmarks run | publish | outputs | confidence."""

from __future__ import annotations

import json
import re
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal, Optional, get_args

import typer
from rich.console import Console

from benchmarks.confidence import measure_confidence
from benchmarks.confidence_tables import show_confidence
from benchmarks.config import FULL, QUICK, BenchmarkConfig
from benchmarks.images import OURS, described, of_folder, random_crops, spread_over
from benchmarks.load import Client, choose_client
from benchmarks.machine import this_machine
from benchmarks.outputs import measure_outputs
from benchmarks.plot import draw
from benchmarks.progress import steps
from benchmarks.results import Results, read_results, write_results
from benchmarks.run import count_steps
from benchmarks.run import run as measure
from benchmarks.tables import markdown, show
from benchmarks.variants import find_variants, served_of
from model_builder.artifact.manifest import MANIFEST, Precision
from service.settings import Settings

FOLDER = Path("build/bench")
RESULTS, PLOT = "results.json", "performance.svg"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
LAST_RUN = re.compile(r"(?<=<!-- last run -->\n).*?(?=<!-- end of last run -->)", re.DOTALL)

main = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

FolderOption = Annotated[Path, typer.Option(help="For results.json, the plot and the logs.")]


@main.command()
def run(
    quick: Annotated[bool, typer.Option(help="One round of short samples.")] = False,
    photos: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            exists=True,
            file_okay=False,
            help="JPEGs to post. Where they are labeled as for `resnet evaluate`, accuracy too.",
        ),
    ] = None,
    precision: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="May be given more than once; by default all that this CPU computes in."),
    ] = None,
    peer_python: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="The Python of an environment with requirements/bench.txt."),
    ] = None,
    peer_artifact: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(
            exists=True,
            file_okay=False,
            help="An OpenVINO artifact's folder that peers serve in place of the service's own.",
        ),
    ] = None,
    client: Annotated[
        Literal["auto", "wrk", "asyncio"], typer.Option(help="auto: wrk where it is installed.")
    ] = "auto",
    folder: FolderOption = FOLDER,
) -> None:
    """Measures, then writes and prints the results."""
    console = Console(stderr=True)
    known = get_args(Precision)
    if unknown := set(precision or ()) - set(known):
        raise typer.BadParameter(f"There are {', '.join(known)}. Received: {unknown}")
    folder.mkdir(parents=True, exist_ok=True)
    files = of_folder(photos or OURS)
    jpegs = spread_over(files) if photos else random_crops(files)
    source = "a folder's own" if photos else "random crops of the three in tests/photos"
    settings = Settings()
    chosen: Client = choose_client(client)
    variants = find_variants(precision)
    config = BenchmarkConfig(
        plan=QUICK if quick else FULL,
        settings=settings,
        variants=variants,
        jpegs=jpegs,
        labeled=photos,
        peer_python=peer_python,
        peer_artifacts={precision_of(artifact): artifact for artifact in peer_artifact or ()},
        client=chosen,
        folder=folder,
    )
    results = Results(
        date=datetime.now(timezone.utc).date().isoformat(),
        model=settings.model.default,
        quick=quick,
        rounds=0,
        seconds=0,
        client=chosen,
        machine=this_machine(peer_python),
        images=described(jpegs, source),
        engines=[variant.name for variant in variants],
        served={str(one): variant.name for one, variant in served_of(variants).items()},
        peers={peer.name: peer.precision for peer in config.peers},
    )
    if peer_python is None:
        results.skipped["peers"] = "No Python that has them was named."
    if photos is None:
        results.skipped["accuracy"] = "No labeled photos were given."
    try:
        with steps(count_steps(config), console) as begin:
            measure(config, results, begin)
    finally:
        # Of a run that is interrupted, what it has measured.
        write_results(folder / RESULTS, results)
    draw(results, folder / PLOT)
    show(results, Console(width=None if console.is_terminal else 140))
    console.print(f"Written: {folder / RESULTS}, {folder / PLOT}")


def precision_of(artifact: Path) -> Precision:
    """By its manifest. The service's own check would refuse one of another version."""
    precision: Precision = json.loads((artifact / MANIFEST).read_bytes())["precision"]
    return precision


@main.command()
def outputs(
    photos: Annotated[Path, typer.Argument(help="A folder of WNID_NAME.JPEG.")],
    url: Annotated[str, typer.Option(help="Of a server that runs.")] = "http://127.0.0.1:8000",
) -> None:
    """Retrieval by embeddings and pointing by class activation maps: docs/outputs.md."""
    found = measure_outputs(url, photos)
    console = Console()
    console.print(f"Found themselves first: {found.found} of {found.photos} photos")
    console.print(f"Peaks on their own halves: {found.pointed} of {found.composites} composites")


@main.command()
def confidence(
    known: Annotated[Path, typer.Argument(help="Images as `resnet calibrate` takes them.")],
    unknown: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(exists=True, file_okay=False, help="Other images, in a folder for each kind."),
    ] = None,
    precision: Annotated[str, typer.Option(help="Of the artifact.")] = "float32",
) -> None:
    """Calibration, and scores for images out of distribution: docs/calibration.md."""
    settings = Settings.of(precision=precision)
    console = Console()
    found = measure_confidence(settings.model.default, settings, known, unknown)
    show_confidence(found, console)


@main.command()
def publish(folder: FolderOption = FOLDER, page: Path = PAGE) -> None:
    """Writes the last run's tables into docs/performance.md, and its plot and JSON into docs."""
    results = read_results(folder / RESULTS)
    text = page.read_text(encoding="utf-8")
    image = f"![Throughput against latency]({page.with_suffix('.svg').name})"
    fragment = f"\n{markdown(results)}\n\n{image}\n\n"
    text, found = LAST_RUN.subn(lambda _: fragment, text)
    if found != 1:
        raise typer.BadParameter(f"It must have one place for the last run. Received: {page}")
    page.write_text(text, encoding="utf-8")
    shutil.copyfile(folder / PLOT, page.with_suffix(".svg"))
    shutil.copyfile(folder / RESULTS, page.with_suffix(".json"))


if __name__ == "__main__":
    main()
