"""resnet predict."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from model_builder.build.subprocess import BUILD_TIMEOUT_SECONDS
from model_builder.errors import BuilderError
from model_builder.system.regular_file import read_regular_file
from service.cli.options import (
    DeviceOption,
    FileOption,
    HomeOption,
    JsonOption,
    ModelOption,
    PrecisionOption,
    cell,
    end,
    settings_with,
)
from service.cli.outputs import PhotoOutputs
from service.errors import ServiceError
from service.inference.outputs import ClassScore
from service.inference.outputs import top_k as top_classes
from service.inference.request import InferenceRequest
from service.inference.runtime import Runtime
from service.inference.service import InferenceService
from service.observability.logging import configure_logging
from service.protocols.outputs.wanted import OUTPUTS
from service.settings import Settings

Scores = tuple[ClassScore, ...]

# For one image, its wait for room included.
TIMEOUT_SECONDS = 3600.0


def predict(
    photos: Annotated[list[Path], typer.Argument(help="Images.", metavar="PHOTO...")],
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="How many classes to name: by default 5, or all of fewer."),
    ] = None,
    as_json: JsonOption = False,
    outputs: Annotated[
        str | None,
        typer.Option(
            help=f"What to give of each image, with commas between: {', '.join(OUTPUTS)}. "
            "All but predictions need --json."
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="The classes of class activation maps, with commas between: indices, WordNet ids "
            "or labels. Default: the most probable ones."
        ),
    ] = None,
    normalized: Annotated[
        bool, typer.Option("--normalized", help="Divide the embedding by its Euclidean norm.")
    ] = False,
    overlay: Annotated[
        Path | None,
        typer.Option(
            help="Write a PNG with alpha to lay over the one image: where the evidence for the "
            "most probable class lies, or for the first of --classes."
        ),
    ] = None,
    model: ModelOption = None,
    precision: PrecisionOption = None,
    device: DeviceOption = None,
    home: HomeOption = None,
    checkpoint_file: FileOption = None,
) -> None:
    """Classify images here, without a server. Ends with 1 where an image could not be."""
    given = {"outputs": outputs, "classes": classes, "normalized": normalized or None}
    options = {name: value for name, value in given.items() if value is not None}
    if outputs is not None and not as_json:
        end("--outputs needs --json: a table has the classes only.")
    if overlay is not None and len(photos) != 1:
        end(f"--overlay takes one image. Received: {len(photos)}")
    wanted = PhotoOutputs(options, overlay)
    settings = settings_with(
        model=model,
        precision=precision,
        device=device,
        home=home,
        checkpoint_file=checkpoint_file,
    )
    configure_logging("warning", settings.observability.log_format)
    failed: list[str] = []
    ready = threading.Event()

    def fail(reason: str) -> None:
        failed.append(reason)
        ready.set()

    try:
        runtime = Runtime(
            settings, names=[settings.model.default], on_ready=ready.set, on_failure=fail
        )
        runtime.start()
        try:
            seconds = load_timeout_seconds(settings)
            if not ready.wait(seconds):
                end(
                    f"{settings.model.default} was not ready after {seconds:g} s: "
                    "RESNET_FETCH_TIMEOUT_SECONDS and the time that two builds may take."
                )
            if failed:
                end(failed[0])
            outcomes = asyncio.run(_predict_all(runtime.service, photos, top_k, wanted))
        finally:
            runtime.stop()
    except (BuilderError, ServiceError) as error:
        end(str(error))
    _print_json(photos, outcomes, wanted) if as_json else _print_table(photos, outcomes)
    if any(isinstance(outcome, str) for outcome in outcomes):
        raise typer.Exit(1)


def load_timeout_seconds(settings: Settings) -> float:
    """For the download, for another process that builds, and for a build of our own."""
    return settings.model.fetch_timeout_seconds + 2 * BUILD_TIMEOUT_SECONDS


async def _predict_all(
    service: InferenceService,
    photos: list[Path],
    requested: int | None,
    outputs: PhotoOutputs,
) -> list[Scores | str]:
    """The classes of each image, or the reason why there are none."""
    model = service.model()
    k = model.top_k(requested)
    wanted = outputs.resolve(model, k)
    names = tuple(dict.fromkeys(("probabilities", *wanted.outputs)))
    # Enough at the same time to keep the device busy while others are read and decoded.
    at_work = asyncio.Semaphore(4 * model.batch_sizes.largest)

    async def one(photo: Path) -> Scores | str:
        async with at_work:
            try:
                data = await asyncio.to_thread(read_regular_file, photo)
                deadline = time.monotonic() + TIMEOUT_SECONDS
                request = InferenceRequest(
                    (data,),
                    deadline,
                    outputs=names,
                    map_classes=wanted.map_classes,
                    wait_for_room=True,
                )
                row = await service.infer_one(request)
                outputs.keep(photo, row, model)
                return top_classes(row.outputs["probabilities"], model.artifact.labels, k)
            except (OSError, ServiceError) as error:
                return str(error)

    return list(await asyncio.gather(*map(one, photos)))


def _print_table(photos: list[Path], outcomes: list[Scores | str]) -> None:
    table = Table("image", "class", "probability")
    for photo, outcome in zip(photos, outcomes, strict=True):
        if isinstance(outcome, str):
            table.add_row(cell(photo), cell(outcome, "red"), "", end_section=True)
            continue
        for index, one in enumerate(outcome):
            table.add_row(
                cell(photo if index == 0 else ""),
                cell(one.label),
                f"{one.probability:7.2%}",
                end_section=index == len(outcome) - 1,
            )
    Console().print(table)


def _print_json(photos: list[Path], outcomes: list[Scores | str], outputs: PhotoOutputs) -> None:
    rows: list[dict[str, Any]] = []
    for photo, outcome in zip(photos, outcomes, strict=True):
        row: dict[str, Any] = {"image": str(photo)}
        if isinstance(outcome, str):
            row["error"] = outcome
        else:
            if outputs.has_predictions:
                row["predictions"] = [asdict(one) for one in outcome]
            row |= outputs.members[photo]
        rows.append(row)
    typer.echo(json.dumps(rows, indent=2))
