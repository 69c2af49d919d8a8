"""The rows of requests that ask for all that an answer may have."""

from __future__ import annotations

from collections.abc import Mapping

from tests.attacks.attack import Attack
from tests.attacks.attackers import answers

ANSWER_ATTACKS: Mapping[str, Attack] = {
    "answer_maps": Attack("forms of 32 photos with every output and 160 overlays", answers.maps),
    "answer_embeddings": Attack("embeddings of 32 data URLs", answers.embeddings),
}
