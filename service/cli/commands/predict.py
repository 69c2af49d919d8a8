"""resnet predict."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from model_builder.build.subprocess import BUILD_TIMEOUT_SECONDS
from model_builder.errors import BuilderError
from model_builder.system.regular_file import read_regular_file
from service.cli.options import (
    DeviceOption,
    EngineOption,
    FileOption,
    HomeOption,
    JsonOption,
    ModelOption,
    PrecisionOption,
    end,
    settings_with,
)
from service.cli.outputs import PhotoOutputs
from service.cli.predicted import Outcome, Predicted, print_json, print_table
from service.errors import ServiceError
from service.inference import repository
from service.inference.outputs import top_k as top_classes
from service.inference.request import InferenceRequest
from service.inference.runtime import Runtime
from service.inference.service import InferenceService
from service.observability.logging import configure_logging
from service.protocols.outputs.assessed import assessed
from service.protocols.outputs.wanted import OUTPUTS
from service.settings import Settings

# For one image, its wait for room included.
TIMEOUT_SECONDS = 3600.0
# From so many on, dividing the CPU among batches takes less time than it saves.
DIVIDED_PHOTOS = 64


def predict(
    photos: Annotated[list[Path], typer.Argument(help="Image files.", metavar="PHOTO")],
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
    encoding_format: Annotated[
        Literal["float", "base64"] | None,
        typer.Option(help="Of an output's numbers: JSON, or little-endian float32 in base64."),
    ] = None,
    overlay: Annotated[
        Path | None,
        typer.Option(
            help="Write a PNG with alpha to lay over the one image: where the evidence for the "
            "most probable class lies, or for the first of --classes."
        ),
    ] = None,
    abstain_below: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Say of each image whether the confidence in its first class is below this, or "
            "its probability where the model is not calibrated. Default: RESNET_ABSTAIN_BELOW.",
        ),
    ] = None,
    model: ModelOption = None,
    precision: PrecisionOption = None,
    engine: EngineOption = None,
    device: DeviceOption = None,
    home: HomeOption = None,
    checkpoint_file: FileOption = None,
) -> None:
    """Classify images here, without a server. Ends with 1 where one could not be classified.

    A calibrated model's classes have a confidence beside their probability, and each image an
    out-of-distribution score: see `resnet calibrate`.
    """
    given = {
        "outputs": outputs,
        "classes": classes,
        "normalized": normalized or None,
        "encoding_format": encoding_format,
    }
    options = {name: value for name, value in given.items() if value is not None}
    if outputs is not None and not as_json:
        end("--outputs needs --json: a table has the classes only.")
    if overlay is not None and len(photos) != 1:
        end(f"--overlay takes one image. Received: {len(photos)}")
    if overlay is not None and not overlay.parent.is_dir():
        end(f"--overlay can't be written. There is no folder {overlay.parent}")
    wanted = PhotoOutputs(options, overlay)
    settings = settings_with(
        model=model,
        precision=precision,
        engine=engine,
        device=device,
        home=home,
        checkpoint_file=checkpoint_file,
        abstain_below=abstain_below,
    )
    configure_logging("warning", settings.observability.log_format)
    failed: list[str] = []
    ready = threading.Event()

    def fail(reason: str) -> None:
        failed.append(reason)
        ready.set()

    try:
        runtime = Runtime(
            settings,
            names=[settings.model.default],
            divide=len(photos) >= DIVIDED_PHOTOS,
            on_ready=ready.set,
            on_failure=fail,
        )
        loads = logging.getLogger(repository.__name__)
        level = loads.level
        # It logs what the command prints.
        loads.setLevel(logging.CRITICAL)
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
            outcomes = asyncio.run(
                _predict_all(runtime.service, photos, top_k, wanted, settings.model.abstain_below)
            )
        finally:
            runtime.stop()
            loads.setLevel(level)
    except (BuilderError, ServiceError) as error:
        end(str(error))
    if as_json:
        print_json(photos, outcomes, predictions=wanted.has_predictions)
    else:
        print_table(photos, outcomes)
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
    abstain_below: float | None = None,
) -> list[Outcome]:
    """Each image's result, or the reason why there is none."""
    model = service.model()
    k = model.top_k(requested)
    wanted = outputs.resolve(model, k)
    names = tuple(dict.fromkeys(("probabilities", *wanted.outputs)))
    # Enough at the same time to keep the device busy while others are read and decoded.
    at_work = asyncio.Semaphore(4 * model.batch_sizes.largest)

    async def one(photo: Path) -> Outcome:
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
                found = row.assessment
                scores = top_classes(
                    row.outputs["probabilities"],
                    model.artifact.labels,
                    k,
                    None if found is None else found.confidences,
                )
                return Predicted(scores, assessed(found, abstain_below), outputs.of(row, model))
            except FileNotFoundError:
                return f"There is no file {photo}"
            except (OSError, ServiceError) as error:
                return str(error)

    return list(await asyncio.gather(*map(one, photos)))
