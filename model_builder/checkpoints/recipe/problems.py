"""Everything that keeps an import from being made, collected so that it is listed at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from model_builder.artifact.preprocessing import ChannelOrder
from model_builder.errors import ConversionFailed


class Problems:
    """missing: sentences, each with its option. wrong: sentences about what was given."""

    def __init__(self, missing: Iterable[str] = ()) -> None:
        self.missing = list(missing)
        self.wrong: list[str] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keeps a ConversionFailed of the block as something wrong."""
        try:
            yield
        except ConversionFailed as error:
            self.wrong.append(str(error))

    def check(self) -> None:
        """Raises ConversionFailed with a line for each, or alone with the only thing wrong."""
        if len(self.wrong) == 1 and not self.missing:
            raise ConversionFailed(self.wrong[0])
        title = "This is missing or wrong:" if self.wrong else "This is missing:"
        if self.missing or self.wrong:
            raise ConversionFailed("\n- ".join([title, *self.missing, *self.wrong]))


def check_epsilon(epsilon: float | None) -> None:
    """Raises ConversionFailed for an epsilon that no batch norm has; None is not yet known."""
    if epsilon is not None and not 0 < epsilon < 1:
        raise ConversionFailed(
            f"The epsilon of batch norms is above 0 and below 1. Received: {epsilon}"
        )


def check_channels(order: ChannelOrder, input_channels: int) -> None:
    """Raises ConversionFailed unless the network takes as many channels as it is fed.

    input_channels: of its first convolution, 1 or 3.
    """
    if (order == "L") != (input_channels == 1):
        takes = "one channel: --channels L" if input_channels == 1 else "three: RGB or BGR"
        raise ConversionFailed(f"The network takes {takes}. Received: --channels {order}")
