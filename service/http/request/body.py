"""A request's body as far as it has arrived, counted in the byte budget."""

from __future__ import annotations

from types import TracebackType

from service.fairness.byte_budget import ByteBudget
from service.fairness.paced import give_way
from service.http.request.read_turns import ReadTurns
from service.system.page_buffer import PageBuffer

RELEASED = memoryview(b"")


class Bodies:
    """What the bodies of all requests share. For one event loop."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._turns = ReadTurns()

    def open(self, client: str) -> Body:
        """The body of a request of this client, of which nothing has arrived."""
        return Body(client, self._budget, self._turns)


class Body:
    """The bytes that are kept, and the images among them. A context manager: it releases them.

    images: each image's bytes; empty ones once they are released. capacity: most bytes.
    """

    def __init__(self, client: str, budget: ByteBudget, turns: ReadTurns) -> None:
        self.images: list[memoryview] = []
        self._client = client
        self._held = budget.hold(client)
        self._turns = turns
        self.capacity = 1
        self._pages: PageBuffer | None = None

    def __enter__(self) -> Body:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def __len__(self) -> int:
        """Bytes that are kept."""
        return 0 if self._pages is None else len(self._pages)

    def expect(self, capacity: int, length: int) -> None:
        """Before the first byte. length: the bytes that are announced, or 0.

        Raises MemoryFull where there is no room for them now.
        """
        self._held.check(length)
        self.capacity = max(1, capacity)

    async def next_turn(self, received: int) -> None:
        """Waits until more may be received. received: the bytes of the piece before."""
        await give_way()
        await self._turns.take(self._client, received)

    def append(self, data: bytes | memoryview) -> None:
        """Raises MemoryFull."""
        self._held.take(len(data))
        if self._pages is None:
            self._pages = PageBuffer(self.capacity)
        self._pages.append(data)

    def add_image(self, start: int = 0) -> None:
        """The bytes from there to the last one that is kept are an image."""
        self.images.append(RELEASED if self._pages is None else self._pages.view(start))

    def release(self) -> None:
        """Gives back the memory and its share of the budget; nothing the second time."""
        # In its place: the request that is being inferred has the same list.
        self.images[:] = [RELEASED] * len(self.images)
        if self._pages is not None:
            self._pages.close()
        self._held.release()
