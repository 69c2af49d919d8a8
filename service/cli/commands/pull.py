"""resnet pull."""

from __future__ import annotations

from model_builder.errors import BuilderError
from service.cli.options import (
    DeviceOption,
    FileOption,
    HomeOption,
    NamesArgument,
    PrecisionOption,
    end,
    say,
    settings_with,
)
from service.inference.artifacts import make_hardware, obtain_artifact
from service.observability.logging import configure_logging


def pull(
    names: NamesArgument,
    precision: PrecisionOption = None,
    device: DeviceOption = None,
    home: HomeOption = None,
    checkpoint_file: FileOption = None,
) -> None:
    """Fetch and build ahead of time: for images, and for machines without a network."""
    settings = settings_with(
        precision=precision,
        device=device,
        home=home,
        checkpoint_file=checkpoint_file,
    )
    # A file is one checkpoint's: of several, the default model's, as in `resnet serve`.
    of = names[0] if len(names) == 1 else settings.model.default
    if settings.model.checkpoint_file and of not in names:
        end(f"--checkpoint-file goes with one NAME. Received: {' '.join(names)}")
    configure_logging("warning", settings.observability.log_format)
    try:
        hardware = make_hardware(settings)
        for name in names:
            file = settings.model.checkpoint_file if name == of else None
            artifact = obtain_artifact(name, settings, hardware, checkpoint_file=file)
            say(artifact.folder)
    except BuilderError as error:
        end(str(error))
