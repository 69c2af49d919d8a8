"""resnet verify."""

from __future__ import annotations

import typer

from model_builder.artifact.store_format import read_artifact
from model_builder.errors import BuilderError
from service.cli.options import (
    DeviceOption,
    EngineOption,
    HomeOption,
    NamesArgument,
    PrecisionOption,
    end,
    say,
    settings_with,
)
from service.engines.registry import load_divided
from service.evaluation.verify import verify as verify_on
from service.inference.artifacts import make_artifact_cache, make_hardware, possible_targets
from service.observability.logging import configure_logging


def verify(
    names: NamesArgument,
    precision: PrecisionOption = None,
    engine: EngineOption = None,
    device: DeviceOption = None,
    home: HomeOption = None,
) -> None:
    """Check a model's files, and its logits on stored images. Ends with 1 where they differ."""
    settings = settings_with(precision=precision, engine=engine, device=device, home=home)
    configure_logging("warning", settings.observability.log_format)
    store, hardware = make_artifact_cache(settings), make_hardware(settings)
    failed = False
    try:
        for name in names:
            artifact = store.given_artifact(name)
            if artifact is None:
                targets = possible_targets(settings, hardware)
                target = next((one for one in targets if store.has(name, one)), targets[0])
                # Read, not obtained: damage is reported, not repaired in silence.
                artifact = read_artifact(store.artifact_folder(store.checkpoint(name), target))
            for loaded in load_divided(artifact, hardware):
                result = verify_on(artifact, loaded)
                failed = failed or not result.passed
                say(
                    f"{artifact.manifest.name} in {artifact.manifest.precision} on "
                    f"{result.device} by {artifact.manifest.engine}: files whole, "
                    f"logits differ by {result.difference:.2g} of their deviation, "
                    f"allowed {result.tolerance:g}: {'passed' if result.passed else 'FAILED'}"
                )
    except BuilderError as error:
        end(str(error))
    if failed:
        raise typer.Exit(1)
