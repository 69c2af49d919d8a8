"""Which of the networks in a file is taken, and the refusal where none can be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from model_builder.checkpoints.formats.pytorch.candidates import Candidate
from model_builder.checkpoints.formats.pytorch.flatten import WRAPPERS, Found
from model_builder.checkpoints.other_networks import other_network
from model_builder.errors import ConversionFailed
from model_builder.system.printable import shortlist

# Averages of the weights over training, which are the more accurate ones.
AVERAGED = re.compile(r"(^|[._])(ema|swa|avg|averaged?|shadow|polyak)\d*([._]|$)", re.IGNORECASE)
# Beside them in the same mapping: what is being trained (ema_pytorch's online_model).
RAW = re.compile(r"(^|[._])(online|raw|current|live)(_|\.|$)", re.IGNORECASE)
# Lightning's callback keeps an average to go on with, whose batch norms have no statistics of it.
RESUMED = re.compile(r"(^|\.)StochasticWeightAveraging(\.|\{|$)")
# Lightning's WeightAveraging saves the average as `state_dict`, and the raw weights here.
LIGHTNING_RAW = "current_model_state."
OUTERMOST = "."


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """The tensors of a file. name: the file's.

    swapped: whether it is of MMEngine, whose EMAHook saves the average as `state_dict` and the raw
        weights as `ema_state_dict` (mmengine/hooks/ema_hook.py, `_swap_ema_state_dict`).
    """

    name: str
    tensors: Sequence[Found]
    swapped: bool = False

    def is_average(self, candidate: Candidate) -> bool:
        """Whether it is an average of the weights over training, by its place."""
        averaged = (
            AVERAGED.search(candidate.place) is not None
            and not RAW.search(candidate.place)
            and not RESUMED.search(candidate.place)
        )
        if any(one.key.startswith(LIGHTNING_RAW) for one in self.tensors):
            averaged = averaged or re.match(r"state_dict(\.|$)", candidate.place) is not None
        if self.swapped and re.match(r"(ema_)?state_dict(\.|$)", candidate.place):
            return not averaged
        return averaged


def choose(
    file: Opened, candidates: Sequence[Candidate], key: str | None
) -> tuple[Candidate, tuple[str, ...]]:
    """The network to take, and sentences about the choice for the user.

    key: the place of the one that the user chose. By default it is the only one, or the average of
    the weights over training. Raises ConversionFailed.
    """
    if not candidates:
        names = shortlist(sorted(one.key for one in file.tensors))
        raise ConversionFailed(
            other_network(one.name for one in file.tensors)
            or (_no_network(file.name, names) if file.tensors else f"{file.name} holds no tensors")
        )
    chosen = _default(file, candidates) if key is None else _with_key(file, candidates, key)
    if chosen.problem is not None:
        raise ConversionFailed(_sentence(file.name, chosen.problem))
    if key is not None:
        return chosen, ()
    notes = [
        f"{_place(one)} is not taken: {one.problem}"
        for one in candidates
        if one.problem is not None and file.is_average(one)
    ]
    others = [one for one in candidates if one is not chosen and one.problem is None]
    if others:
        notes.insert(
            0,
            f"It holds several networks. Taken: {_place(chosen)}"
            f"{', the average of the weights over training' if file.is_average(chosen) else ''}. "
            f"--key takes another: {shortlist(map(_place, others))}",
        )
    return chosen, tuple(notes)


def _no_network(file: str, names: str) -> str:
    return (
        f"{file} holds no ResNet with PyTorch's names under any prefix: no layer of one takes "
        f"{names}"
    )


def _with_key(file: Opened, candidates: Sequence[Candidate], key: str) -> Candidate:
    wanted = ".".join(part for part in key.split(".") if part and part not in WRAPPERS)
    exact = [one for one in candidates if one.place == wanted]
    # The path of the mapping is enough where it holds one network.
    within = exact or [one for one in candidates if one.place.startswith(f"{wanted}.")]
    if len(within) != 1:
        raise ConversionFailed(
            f"{file.name} has networks at {shortlist(map(_place, candidates))}. "
            f"Received: --key {key}"
        )
    return within[0]


def _default(file: Opened, candidates: Sequence[Candidate]) -> Candidate:
    sound = [one for one in candidates if one.problem is None] or [candidates[0]]
    sound = [one for one in sound if not RESUMED.search(one.place)] or sound
    averaged = [one for one in sound if file.is_average(one)]
    preferred = averaged if len(averaged) == 1 else sound
    if len(preferred) > 1:
        raise ConversionFailed(
            f"{file.name} holds several networks: choose one with --key. "
            f"Received: {shortlist(map(_place, preferred))}"
        )
    return preferred[0]


def _place(candidate: Candidate) -> str:
    return candidate.place or OUTERMOST


def _sentence(file: str, problem: str) -> str:
    return problem if problem.startswith(("No layer", "The checkpoint")) else f"{file}: {problem}"
