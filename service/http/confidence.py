"""How sure the model is, in the bodies of answers."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from model_builder.artifact.confidence import ScalingMethod
from service.errors import InvalidParameter
from service.inference.confidence.assessor import Assessment

ABSTAIN_BELOW = "abstain_below"
# Of a score, whose threshold is 1.
SCORE_DECIMALS = 4


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

    expected_calibration_error: float
    negative_log_likelihood: float
    brier_score: float


class Calibrated(BaseModel):
    """What `resnet calibrate` fitted, and how good it is on images that were held out."""

    model_config = ConfigDict(from_attributes=True)

    images: str
    fitted_on: int
    held_out: int
    method: ScalingMethod
    temperature: float | None
    top1_percent: float
    before: Figures
    after: Figures
    mean_confidence: float
    out_of_distribution: str = Field(description="The method of the out-of-distribution score.")


def assessed_members(assessment: Assessment | None, abstain_below: float | None) -> list[str]:
    """The members of a result beside its predictions, as `Assessed` has them.

    abstain_below: 0 to 1; None without a threshold.
    """
    if assessment is None:
        return []
    members = []
    if abstain_below is not None:
        members.append(f'"abstained":{json.dumps(assessment.abstains(abstain_below))}')
    if assessment.ood_score is not None:
        members += [
            f'"ood_score":{round(assessment.ood_score, SCORE_DECIMALS)!r}',
            f'"out_of_distribution":{json.dumps(assessment.out_of_distribution)}',
        ]
    return members


def threshold_in(members: dict[str, Any]) -> float | None:
    """Takes `abstain_below` out of a JSON body's members; None without it.

    Raises InvalidParameter.
    """
    return check_threshold(members.pop(ABSTAIN_BELOW)) if ABSTAIN_BELOW in members else None


def check_threshold(given: object) -> float:
    """Of a JSON body. Raises InvalidParameter."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        shown = given if isinstance(given, int | float) else type(given).__name__
        raise InvalidParameter(f"{ABSTAIN_BELOW} is a number from 0 to 1. Received: {shown!r:.40}")
    return float(given)
