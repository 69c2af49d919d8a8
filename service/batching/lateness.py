"""How much later than expected a client's results came."""

from __future__ import annotations

from collections import OrderedDict

# Weights of a new observation: high when a result came later than expected, low when it came
# sooner.
LATER_WEIGHT, SOONER_WEIGHT = 0.5, 0.02
# Less than this is no lateness.
LEAST_SECONDS = 0.001
# Clients that are remembered: the most recent. One that was forgotten counts as in time.
MAX_CLIENTS = 10_000


class Lateness:
    """An average for each client of its own requests, in seconds; 0 for one that is not known.

    It covers what the latency of batches does not: decoding, and other load on the CPUs. It is kept
    by client, so that a client whose images take long to decode, or that overtakes its own
    requests, does not make the service refuse another's.
    """

    def __init__(self) -> None:
        self._seconds: OrderedDict[str, float] = OrderedDict()

    def seconds(self, client: str | None) -> float:
        return 0.0 if client is None else self._seconds.get(client, 0.0)

    def record(self, client: str, late_seconds: float) -> None:
        """late_seconds: between the expected and the actual end of a request; negative if early."""
        known = self._seconds.pop(client, 0.0)
        weight = LATER_WEIGHT if late_seconds > known else SOONER_WEIGHT
        seconds = known + weight * (max(0.0, late_seconds) - known)
        if seconds < LEAST_SECONDS:
            return
        self._seconds[client] = seconds
        if len(self._seconds) > MAX_CLIENTS:
            self._seconds.popitem(last=False)
