"""How sure the model is, in the bodies of answers."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from model_builder.artifact.confidence import ScalingMethod
from service.errors import InvalidParameter
from service.inference.confidence.assessor import Assessment
from service.protocols.outputs.assessed import assessed

ABSTAIN_BELOW = "abstain_below"
ABSTAIN_BELOW_JSON = {"type": "number", "minimum": 0, "maximum": 1}
AbstainBelowQuery = Annotated[
    float | None,
    Query(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="A confidence: results say whether theirs is below it. "
        "Default: RESNET_ABSTAIN_BELOW.",
    ),
]


class Assessed(BaseModel):
    """What a result says beside its predictions, of a model that is calibrated."""

    abstained: bool | None = Field(
        None,
        description="Whether the confidence in the first class, or its probability where the model "
        "is not calibrated, is below the threshold: `abstain_below`, else RESNET_ABSTAIN_BELOW. "
        "Absent without a threshold.",
    )
    ood_score: float | None = Field(
        None,
        description="Out-of-distribution score: higher for what is less like the images of the "
        "calibration. Absent where the model is not calibrated.",
    )
    out_of_distribution: bool | None = Field(
        None,
        description="Whether the score exceeds 1, which 95 % of the calibration's images did not.",
    )


class Figures(BaseModel):
    """How well confidences tell how often the model is right; lower is better."""

    model_config = ConfigDict(from_attributes=True)

    expected_calibration_error: float = Field(description="Of 15 bins, 0 to 1.")
    chance_error_mean: float = Field(
        description="Of the calibration errors that a perfectly calibrated model with the same "
        "confidences has on as many images."
    )
    chance_error_deviation: float = Field(description="Their standard deviation.")
    debiased_calibration_error: float = Field(
        description="Root mean square, 0 to 1, without the part that chance adds."
    )
    negative_log_likelihood: float
    brier_score: float


class Calibrated(BaseModel):
    """What `resnet calibrate` fitted, and how good it is on images that were held out."""

    model_config = ConfigDict(from_attributes=True)

    images: str
    fitted_on: int
    held_out: int = Field(
        description="How many images the figures are of, each scaled by a fit to the other folds."
    )
    folds: int
    method: ScalingMethod
    temperature: float | None
    top1_percent: float
    before: Figures
    after: Figures
    mean_confidence: float
    out_of_distribution: str = Field(description="The method of the out-of-distribution score.")


def assessed_members(assessment: Assessment | None, abstain_below: float | None) -> str:
    """The members of a result beside its predictions, as `Assessed` has them; may be empty.

    abstain_below: 0 to 1; None without a threshold.
    """
    members = assessed(assessment, abstain_below)
    return json.dumps(members, separators=(",", ":"))[1:-1]


def threshold(
    query: float | None, members: MutableMapping[str, Any], default: float | None
) -> float | None:
    """The query's, that of a JSON body, which is taken from its members, or the default.

    Raises InvalidParameter.
    """
    below = default
    if ABSTAIN_BELOW in members:
        below = _check_threshold(members.pop(ABSTAIN_BELOW))
    return below if query is None else query


def _check_threshold(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        shown = given if isinstance(given, int | float) else type(given).__name__
        raise InvalidParameter(f"{ABSTAIN_BELOW} is a number from 0 to 1. Received: {shown!r:.40}")
    return float(given)
