"""What an answer says of how sure the model is, beside an image's predictions."""

from __future__ import annotations

from service.inference.confidence.assessor import Assessment

# Of a score, whose threshold is 1.
SCORE_DECIMALS = 4


def assessed(assessment: Assessment | None, abstain_below: float | None) -> dict[str, bool | float]:
    """By names of members; may be empty. abstain_below: 0 to 1; None without a threshold."""
    if assessment is None:
        return {}
    members: dict[str, bool | float] = {}
    if abstain_below is not None:
        members["abstained"] = assessment.abstains(abstain_below)
    if assessment.ood_score is not None:
        members["ood_score"] = round(assessment.ood_score, SCORE_DECIMALS)
        members["out_of_distribution"] = assessment.out_of_distribution
    return members
