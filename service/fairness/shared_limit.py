"""A limit that clients share, so that none can use up what another needs."""

from __future__ import annotations

# The part of a limit that clients above their equal share leave free.
RESERVED_PARTS = 8


def room_for(limit: int, *, used: int, held: int, clients: int) -> int:
    """How much more one client may take; 0 or more.

    A client alone may use all but an eighth. A client below its equal share may use that eighth
    too; an equal share counts one client more than there are, so that the next one finds room.

    used: held by all clients together. held: by this one. clients: how many hold something, this
    one included whether it does or not.
    """
    free = limit - used
    below_share = min(free, limit // (clients + 1) - held)
    return max(0, below_share, free - limit // RESERVED_PARTS)


class SharedLimit:
    """Counts what each client holds of a limit. For one event loop."""

    def __init__(self, limit: int) -> None:
        """limit: in any unit, such as bytes or connections."""
        self.limit = limit
        self.used = 0
        self._held: dict[str, int] = {}

    def held(self, client: str) -> int:
        return self._held.get(client, 0)

    def room(self, client: str) -> int:
        """How much more the client may take now."""
        clients = len(self._held) + (client not in self._held)
        return room_for(self.limit, used=self.used, held=self.held(client), clients=clients)

    def below_share(self, client: str) -> bool:
        """Whether the client holds less than its equal share, one client more counted."""
        clients = len(self._held) + (client not in self._held)
        return self.held(client) < self.limit // (clients + 1)

    @property
    def largest(self) -> str | None:
        """The client that holds the most, where it holds more than its equal share."""
        client = max(self._held, key=self._held.__getitem__, default=None)
        return None if client is None or self.below_share(client) else client

    def take(self, client: str, amount: int) -> bool:
        """Takes the whole amount, or returns False and takes nothing."""
        if amount > self.room(client):
            return False
        if amount:
            self._held[client] = self.held(client) + amount
            self.used += amount
        return True

    def release(self, client: str, amount: int) -> None:
        """Raises ValueError where the client holds less."""
        left = self.held(client) - amount
        if left < 0:
            raise ValueError(f"{client} holds {self.held(client)}. Received: {amount}")
        self.used -= amount
        if left:
            self._held[client] = left
        else:
            self._held.pop(client, None)
