"""An attack, as one row of the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.attacks.attackers.config import AttackerFn
from tests.attacks.judge import Check, Observation, Rule
from tests.attacks.server.target import Target

Place = Literal["alone", "nginx"]
PLACES: tuple[Place, ...] = ("alone", "nginx")

ONE = ("127.0.0.2",)
EIGHT = tuple(f"127.0.0.{number}" for number in range(2, 10))
# The address of the honest client.
HONEST = "127.0.0.50"

DisturbanceFn = Callable[[Target, float], Awaitable[list[Check]]]


def no_checks(_: Observation) -> list[Check]:
    return []


@dataclass(frozen=True)
class Attack:
    """What is done to a server, and what must hold for this attack in particular.

    attacker: run by each address; None for a disturbance alone.
    disturbance: run in this process at the same time, with the target and the attack's seconds.
    sources: the attacking addresses. environment: further settings of the server.
    key: an API key that the server accepts; the honest client sends it.
    attacker_keys: further ones, all of one client, that the attackers send.
    grpc: a lone server serves gRPC too.
    descriptors: the server's limit of open files. own_interpreter: see `target.lone`.
    rule: for the honest client; by default "quick" for one address and "fair share" for several.
    seconds, least_seconds: duration at scale 1, and at any scale.
    checks: further checks of the observation.
    held: most connections of the attackers that a lone server may have at the end of the attack;
    None: not checked. images: the attackers need the expensive images.
    serves_on, probed, quiet_log: see `judge.Expected`.
    """

    title: str
    attacker: AttackerFn | None = None
    disturbance: DisturbanceFn | None = None
    sources: Sequence[str] = ONE
    places: tuple[Place, ...] = PLACES
    environment: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    attacker_keys: Sequence[str] = ()
    descriptors: int | None = None
    own_interpreter: bool = False
    grpc: bool = False
    rule: Rule | None = None
    seconds: float = 12.0
    least_seconds: float = 1.0
    checks: Callable[[Observation], list[Check]] = no_checks
    held: int | None = None
    images: bool = False
    serves_on: bool = True
    probed: Collection[str] = ("live", "ready")
    quiet_log: bool = True

    @property
    def honest_rule(self) -> Rule:
        return self.rule or ("quick" if len(self.sources) == 1 else "fair share")
