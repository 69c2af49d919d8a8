"""Writes a TIFF of any sample layout: TIFF 6.0, Adobe's technical note 3 for floats, BigTIFF."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any, Literal

import imagecodecs
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]
Order = Literal["<", ">"]

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR = range(7)
LAB, ICC_LAB, ITU_LAB = 8, 9, 10
COMPRESSIONS = {
    "none": 1,
    "LZW": 5,
    "Deflate": 8,
    "old Deflate": 32946,
    "PackBits": 32773,
    "LZMA": 34925,
    "Zstandard": 50000,
}
SHORT, LONG, LONG8 = 3, 4, 16
# Of a strip, and the edge of a tile.
ROWS, EDGE = 20, 32


@dataclass(frozen=True, slots=True)
class Layout:
    """extra: ExtraSamples, one for each. order: "<" or ">". palette: [2**bits, 3] of 16 bits."""

    photometric: int = RGB
    bits: int = 8
    kind: int = UNSIGNED
    channels: int = 3
    extra: tuple[int, ...] = ()
    planar: bool = False
    order: Order = "<"
    low_bit_first: bool = False
    compression: str = "none"
    predictor: int = 1
    tiles: bool = False
    big: bool = False
    palette: npt.NDArray[np.uint16] | None = None
    subsampling: tuple[int, int] | None = None
    mixed_bits: tuple[int, ...] | None = None

    def write(self, samples: npt.NDArray[Any]) -> bytes:
        """samples: [H, W, channels with the extra ones], of what `stored` gives."""
        planes = [samples[:, :, [i]] for i in range(samples.shape[2])]
        blocks = [
            self._packed(block)
            for plane in (planes if self.planar else [samples])
            for block in self._blocks(plane)
        ]
        return self._file(samples.shape, blocks)

    def stored(self, values: Samples) -> npt.NDArray[Any]:
        """Of values from 0 to 1; signed integers use their upper half."""
        if self.kind == FLOAT:
            return np.asarray(values, np.dtype(f"f{self.bits // 8}"))
        highest = 2 ** (self.bits - (self.kind == SIGNED)) - 1
        whole = f"i{self.bits // 8}" if self.kind == SIGNED else "u4"
        return np.asarray(np.round(values * highest), np.dtype(whole))

    def _blocks(self, plane: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        height, width = plane.shape[:2]
        if not self.tiles:
            return [plane[row : row + ROWS] for row in range(0, height, ROWS)]
        padded = np.pad(plane, ((0, -height % EDGE), (0, -width % EDGE), (0, 0)))
        return [
            padded[row : row + EDGE, column : column + EDGE]
            for row in range(0, height, EDGE)
            for column in range(0, width, EDGE)
        ]

    def _packed(self, block: npt.NDArray[Any]) -> bytes:
        if self.bits % 8 or self.bits == 24:
            data = self._bits(block)
        else:
            letter = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}[self.kind]
            values = block.astype(f"{letter}{self.bits // 8}")
            if self.predictor == 2:
                values[:, 1:] = values[:, 1:] - values[:, :-1]
            if self.predictor == 3:
                # Of a row the first bytes of all floats, then the second ones, differences.
                rows = values.astype(values.dtype.newbyteorder(">")).reshape(len(block), -1)
                bytes_ = rows.view(np.uint8).reshape(len(block), rows.shape[1], -1)
                mixed = bytes_.transpose(0, 2, 1).reshape(len(block), -1)
                step = block.shape[2]
                mixed = mixed.copy()
                mixed[:, step:] = mixed[:, step:] - mixed[:, :-step]
                data = mixed.tobytes()
            else:
                data = values.astype(values.dtype.newbyteorder(self.order)).tobytes()
        if self.subsampling:
            data = self._units(block)
        data = compressed(data, self.compression)
        if self.low_bit_first:
            data = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
        return data

    def _units(self, block: npt.NDArray[Any]) -> bytes:
        """YCbCr: the luma of some pixels, then their two chroma values (TIFF 6.0, section 21)."""
        across, down = self.subsampling or (1, 1)
        block = np.pad(
            block, ((0, -len(block) % down), (0, -block.shape[1] % across), (0, 0)), "edge"
        )
        height, width = len(block) // down, block.shape[1] // across
        units = block.reshape(height, down, width, across, 3).transpose(0, 2, 1, 3, 4)
        luma = units[..., 0].reshape(height, width, -1)
        chroma = units[..., 1:].mean(axis=(2, 3)).round()
        return np.concatenate([luma, chroma], axis=-1).astype(np.uint8).tobytes()

    def _bits(self, block: npt.NDArray[Any]) -> bytes:
        """Every row begins with a byte."""
        rows = block.reshape(len(block), -1).astype(np.int64)
        shifts = np.arange(self.bits - 1, -1, -1)
        bits = (rows[:, :, None] >> shifts & 1).reshape(len(block), -1)
        return np.packbits(bits.astype(np.uint8), axis=1).tobytes()

    def _file(self, shape: tuple[int, ...], blocks: list[bytes]) -> bytes:
        height, width, samples = shape
        tags: dict[int, tuple[int, list[int]]] = {
            256: (LONG, [width]),
            257: (LONG, [height]),
            258: (SHORT, list(self.mixed_bits or [self.bits] * samples)),
            259: (SHORT, [COMPRESSIONS[self.compression]]),
            262: (SHORT, [self.photometric]),
            277: (SHORT, [samples]),
            284: (SHORT, [1 + self.planar]),
            339: (SHORT, [self.kind] * samples),
        }
        if self.low_bit_first:
            tags[266] = SHORT, [2]
        if self.predictor > 1:
            tags[317] = SHORT, [self.predictor]
        if self.palette is not None:
            tags[320] = SHORT, self.palette.T.ravel().tolist()
        if self.photometric == CMYK:
            tags[332] = SHORT, [1]
        if self.extra:
            tags[338] = SHORT, list(self.extra)
        if self.subsampling:
            tags[530] = SHORT, list(self.subsampling)
        offsets, counts = (324, 325) if self.tiles else (273, 279)
        if self.tiles:
            tags[322] = tags[323] = LONG, [EDGE]
        else:
            tags[278] = LONG, [ROWS]
        start = 16 if self.big else 8
        places, data = [], b""
        for block in blocks:
            places.append(start + len(data))
            data += block + bytes(len(block) % 2)
        tags[offsets], tags[counts] = (LONG, places), (LONG, [len(block) for block in blocks])
        return self._with_directory(data, tags)

    def _with_directory(self, data: bytes, tags: dict[int, tuple[int, list[int]]]) -> bytes:
        order, start = self.order, 16 if self.big else 8
        word, count, inline = ("Q", "Q", 8) if self.big else ("I", "H", 4)
        directory = start + len(data)
        entries, more = b"", b""
        after = directory + struct.calcsize(order + count) + len(tags) * (12 + inline * 2 - 8)
        after += inline
        for tag, (kind, values) in sorted(tags.items()):
            content = struct.pack(order + ("H" if kind == SHORT else "I") * len(values), *values)
            if len(content) <= inline:
                content = content.ljust(inline, b"\0")
            else:
                content, more = (
                    struct.pack(order + word, after + len(more)),
                    more + content + bytes(len(content) % 2),
                )
            entries += struct.pack(order + "HH" + word, tag, kind, len(values)) + content
        magic = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 42 + self.big)
        if self.big:
            magic += struct.pack(order + "HH", 8, 0)
        magic += struct.pack(order + word, directory)
        ended = struct.pack(order + count, len(tags)) + entries + bytes(inline)
        return magic + data + ended + more


def compressed(data: bytes, compression: str) -> bytes:
    """One strip or tile."""
    if compression == "none":
        return data
    if compression in ("Deflate", "old Deflate"):
        return zlib.compress(data)
    encoders = {
        "LZW": imagecodecs.lzw_encode,
        "PackBits": imagecodecs.packbits_encode,
        "LZMA": imagecodecs.lzma_encode,
        "Zstandard": imagecodecs.zstd_encode,
    }
    return bytes(encoders[compression](data))
