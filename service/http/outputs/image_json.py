"""The outputs of each image of an answer to POST /predict, as members of JSON objects."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence

from model_builder.artifact.labels import Label
from service.errors import ServiceError
from service.fairness.byte_budget import HeldBytes
from service.fairness.paced import pause
from service.http.outputs.overlays import Overlays
from service.imaging.resampling.geometry import crop_box
from service.inference.outputs import Array, map_class_ids, unit_length
from service.inference.request import InferenceResult, RowResult
from service.protocols.outputs.described import described_crop, described_map
from service.protocols.outputs.wanted import (
    EMBEDDING,
    MAPS,
    OUTPUTS,
    PREDICTIONS,
    WantedOutputs,
)
from service.protocols.tensor_outputs import raw_row

PNG_URL = "data:image/png;base64,"

Box = tuple[float, float, float, float]


def numbers_text(values: Array, *, base64: bool) -> str:
    """A float32 is written as the double that it is exactly, or all of them in base64."""
    if base64:
        return f'"{b64encode(raw_row(values)).decode()}"'
    return json.dumps(values.tolist(), separators=(",", ":"))


class ImageOutputWriter:
    """The members of one request's images. held: counts their bytes. deadline: of the overlays."""

    def __init__(
        self, wanted: WantedOutputs, overlays: Overlays, held: HeldBytes, *, deadline: float
    ) -> None:
        self._wanted = wanted
        self._overlays = overlays
        self._held = held
        self._deadline = deadline

    async def write(self, result: InferenceResult) -> list[str]:
        """Of each image, without braces; empty for one that failed.

        Raises MemoryFull or DeadlineExceeded.
        """
        texts = []
        for row in result.rows:
            members = [] if isinstance(row, ServiceError) else await self._members(row, result)
            texts.append(",".join(members))
            self._held.take(len(texts[-1]))
        return texts

    async def _members(self, row: RowResult, result: InferenceResult) -> list[str]:
        members = []
        for name in self._wanted.names:
            if name == MAPS:
                members += await self._maps(row, result)
            elif name != PREDICTIONS:
                values = row.outputs[name]
                if name == EMBEDDING and self._wanted.normalized:
                    values = unit_length(values)
                members.append(f'"{name}":{numbers_text(values, base64=self._wanted.base64)}')
                # Two thousand numbers take the event loop a millisecond.
                await pause()
        return members

    async def _maps(self, row: RowResult, result: InferenceResult) -> list[str]:
        artifact = result.model.artifact
        # Pixels are not sent to this route.
        assert row.image_size is not None
        box = crop_box(*row.image_size, artifact.manifest.preprocessing)
        classes = self._wanted.map_classes
        if isinstance(classes, int):
            classes = map_class_ids(row.outputs[OUTPUTS[PREDICTIONS]], classes)
        maps = [
            await self._map(values, index, artifact.labels, box, row.image_size)
            for index, values in zip(classes, row.outputs[MAPS], strict=True)
        ]
        await pause()
        shown = described_crop(row.image_size, artifact.manifest.preprocessing)
        crop = json.dumps(shown, separators=(",", ":"))
        return [f'"class_activation_maps":[{",".join(maps)}]', f'"crop_box":{crop}']

    async def _map(
        self,
        values: Array,
        class_id: int,
        labels: Sequence[Label],
        box: Box,
        size: tuple[int, int],
    ) -> str:
        described = described_map(values, class_id, labels[class_id])
        text = json.dumps(described, separators=(",", ":")).removesuffix("}")
        text += f',"map":{numbers_text(values, base64=self._wanted.base64)}'
        if self._wanted.overlay:
            png = await self._overlays.draw(values, box, size, deadline=self._deadline)
            text += f',"overlay":"{PNG_URL}{b64encode(png).decode()}"'
        return text + "}"
