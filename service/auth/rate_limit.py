"""Images a second for each client, and a burst."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from service.auth.token_bucket import TokenBucket
from service.errors import RateLimited

# Clients that are remembered: the most recent. A client that was forgotten has a full bucket.
MAX_CLIENTS = 10_000


class RateLimit:
    """A token bucket for each client: `burst` tokens at most, `per_second` more every second.

    A request takes one token when it arrives, and one for each image but the first when their
    number is known. What is not there then is a debt, which is paid before the next request: a
    request with more images than the burst is possible, and what a client sends is `per_second`
    images on average. For one event loop.
    """

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, client: str) -> float:
        """Takes a request's token: 0, or where there is none the seconds until there is one."""
        now, bucket = self._bucket(client)
        return bucket.take(now, per_second=self._per_second, capacity=self._burst)

    def take_for_images(self, client: str, images: int) -> None:
        """Takes the tokens of a request's other images. Raises RateLimited while there is a debt.

        images: all of the request's, 1 or more; the first was paid for by `take`.
        """
        now, bucket = self._bucket(client)
        tokens = images - 1
        if wait := bucket.charge(now, tokens, per_second=self._per_second, capacity=self._burst):
            raise RateLimited(
                f"{client} has sent too many images. The next request may be sent in {wait:.1f} s.",
                retry_after_seconds=math.ceil(wait),
            )

    def _bucket(self, client: str) -> tuple[float, TokenBucket]:
        """The present time, and the bucket at the end of those that are remembered."""
        now = self._clock()
        bucket = self._buckets.pop(client, None) or TokenBucket(self._burst, now)
        self._buckets[client] = bucket
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return now, bucket
