"""Bodies of answers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field
from pydantic.config import JsonDict

from service.http.confidence import Assessed, Calibrated
from service.http.outputs.schemas import ImageOutputs
from service.inference.model_info import State

DEPRECATED: JsonDict = {"deprecated": True}
PROBLEM_EXAMPLE: JsonDict = {
    "type": "about:blank",
    "title": "Unsupported Media Type",
    "status": 415,
    "code": "unsupported_media_type",
    "detail": "Images are taken as JPEG, PNG, WEBP, AVIF, GIF, BMP, TIFF. Received: PDF",
    "request_id": "1f0c5c1c8d5b4a6f9d3f5d0b7a1e2c33",
}


class Problem(BaseModel):
    """RFC 9457 problem details. `code` is stable; `detail` is for people."""

    model_config = ConfigDict(json_schema_extra={"example": PROBLEM_EXAMPLE})

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str | None


class TensorError(BaseModel):
    """An error of the tensor protocols, `/v2` and `/v1`."""

    error: str


class OpenAIErrorBody(BaseModel):
    message: str
    type: str
    param: str | None
    code: str


class OpenAIError(BaseModel):
    """An error of `/v1/embeddings`, as OpenAI's clients read it."""

    error: OpenAIErrorBody


class ClassProbability(BaseModel):
    class_id: int = Field(description="Index of the class, from 0.")
    wnid: str | None = Field(None, description="WordNet id, where the class has one.")
    label: str
    probability: float = Field(ge=0, le=1.000001)
    confidence: float | None = Field(
        None,
        ge=0,
        le=1.000001,
        description="The calibrated probability; absent where the model is not calibrated.",
    )


class ModelUsed(BaseModel):
    name: str
    checkpoint: str
    precision: str


class Timing(BaseModel):
    """Milliseconds. With several images each is the longest of any image."""

    decode: float
    queue: float
    inference: float
    total: float


class OneImage(ImageOutputs, Assessed):
    """The answer to one image. `predictions` are there unless `outputs` leaves them out."""

    request_id: str | None
    model: ModelUsed
    predictions: list[ClassProbability] | None = None
    timing_ms: Timing


class ImageResult(ImageOutputs, Assessed):
    """One of several images: what was asked for, or the `error` that it alone met."""

    predictions: list[ClassProbability] | None = None
    error: Problem | None = None


class SeveralImages(BaseModel):
    """The answer to several images, in their order."""

    request_id: str | None
    model: ModelUsed
    results: list[ImageResult]
    timing_ms: Timing


class Measured(BaseModel):
    """One set of images run through an artifact: how it was made, or `resnet evaluate`."""

    model_config = ConfigDict(from_attributes=True)

    images: str
    count: int
    agreement_percent: float = Field(
        description="How often the most probable class is the float32 network's."
    )
    top1_percent: float | None
    top5_percent: float | None
    expected_calibration_error: float | None
    images_per_second: float | None
    origin: Literal["build", "evaluate"] = Field(description="Who measured: the build or a user.")

    @computed_field(  # type: ignore[prop-decorator]
        description="The old name of `images`.", json_schema_extra=DEPRECATED
    )
    @property
    def pictures(self) -> str:
        return self.images


class Served(BaseModel):
    """How a loaded model runs."""

    model_config = ConfigDict(from_attributes=True)

    precision: str
    engine: str
    devices: list[str]
    batch_sizes: list[int]
    batches_at_once: int = Field(
        description="Batches that run at the same time: 1 until the CPU is divided among them."
    )
    load_seconds: float = Field(description="From the start of its loading to warm.")
    memory_bytes: int = Field(description="Resident memory gained while it was loaded.")
    measured: list[Measured]
    calibration: Calibrated | None = Field(description="What `resnet calibrate` fitted.")


class CheckpointBody(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: str
    default: bool = Field(description="Whether the depth's bare name stands for it.")
    parameters: int
    macs: int = Field(description="Multiply-accumulate operations for one image.")
    licence: str
    paper: str
    top1_percent: float | None = Field(description="As published, on ImageNet's validation set.")
    top5_percent: float | None
    state: State
    reason: str | None = Field(description="Why it is unavailable, where it is to be served.")
    served: Served | None


class ModelBody(BaseModel):
    """One depth of the family, and what can be served of it."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    depth: int
    block: Literal["basic", "bottleneck"]
    blocks_per_stage: list[int]
    parameters: int
    macs: int = Field(description="Multiply-accumulate operations for one image.")
    input_size: int
    classes: int
    state: State
    reason: str = Field(description="Why it is in that state, or how to get it out of it.")
    checkpoints: list[CheckpointBody]

    @computed_field(  # type: ignore[prop-decorator]
        description="The old name of `macs`.", json_schema_extra=DEPRECATED
    )
    @property
    def multiply_adds(self) -> int:
        return self.macs


class ModelsBody(BaseModel):
    default: str
    models: list[ModelBody]


class ClassLabel(BaseModel):
    class_id: int = Field(description="Index of the class, from 0.")
    wnid: str | None = Field(description="WordNet id, where the class has one.")
    label: str


class LabelsBody(BaseModel):
    """The classes of a served model, in the order of its probabilities."""

    model: str
    labels: list[ClassLabel]


class Health(BaseModel):
    status: Literal["live", "ready"]


class Readiness(Health):
    checks: dict[str, str] = Field(
        description='"ok", or what is wrong: models, workers, self_test (formerly canary), '
        "serving, decoders."
    )
