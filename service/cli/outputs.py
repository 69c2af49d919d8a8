"""What `resnet predict` gives of each photo beside its classes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_builder.system.atomic_write import atomic_write
from service.imaging.overlays.heat_map import overlay_png
from service.imaging.resampling.geometry import crop_box
from service.inference.model import Model
from service.inference.outputs import Array, map_class_ids, unit_length
from service.inference.request import RowResult
from service.protocols.outputs.described import described_crop, described_map
from service.protocols.outputs.wanted import (
    EMBEDDING,
    MAPS,
    OUTPUTS,
    PREDICTIONS,
    WantedOutputs,
    wanted_outputs,
)
from service.protocols.tensor_outputs import raw_row

# Of an overlay's longer edge: a file is looked at without a page that enlarges it.
OVERLAY_EDGE = 1024


class PhotoOutputs:
    """options: by names of `wanted.OPTIONS`. overlay: a file for the first map; None for none."""

    def __init__(self, options: Mapping[str, Any], overlay: Path | None = None) -> None:
        self._options = options
        self._overlay = overlay
        self._wanted = WantedOutputs()

    def resolve(self, model: Model, top_k: int) -> WantedOutputs:
        """Raises InvalidParameter."""
        options = dict(self._options)
        if self._overlay is not None:
            names = str(options.get("outputs", PREDICTIONS))
            if MAPS not in names.split(","):
                options["outputs"] = f"{names},{MAPS}"
        self._wanted = wanted_outputs(options, model, top_k)
        return self._wanted

    def of(self, row: RowResult, model: Model) -> dict[str, Any]:
        """The members of a photo's object in JSON, in the form of POST /predict.

        Raises OSError where the overlay can't be written.
        """
        members: dict[str, Any] = {}
        for name in self._wanted.names:
            if name == MAPS:
                members |= self._maps(row, model)
            elif name != PREDICTIONS:
                values = row.outputs[name]
                if name == EMBEDDING and self._wanted.normalized:
                    values = unit_length(values)
                members[name] = self._numbers(values)
        return members

    @property
    def has_predictions(self) -> bool:
        return PREDICTIONS in self._wanted.names

    def _maps(self, row: RowResult, model: Model) -> dict[str, Any]:
        # A photo is a file.
        assert row.image_size is not None
        artifact, classes = model.artifact, self._wanted.map_classes
        preprocessing = artifact.manifest.preprocessing
        if isinstance(classes, int):
            classes = map_class_ids(row.outputs[OUTPUTS[PREDICTIONS]], classes)
        maps = row.outputs[MAPS]
        if self._overlay is not None:
            box = crop_box(*row.image_size, preprocessing)
            png = overlay_png(maps[0], box, row.image_size, OVERLAY_EDGE)
            atomic_write(self._overlay, png)
        return {
            "class_activation_maps": [
                {
                    **described_map(values, index, artifact.labels[index]),
                    "map": self._numbers(values),
                }
                for index, values in zip(classes, maps, strict=True)
            ],
            "crop_box": described_crop(row.image_size, preprocessing),
        }

    def _numbers(self, values: Array) -> Any:
        """As `numbers_text` writes them for POST /predict."""
        return b64encode(raw_row(values)).decode() if self._wanted.base64 else values.tolist()
