"""Makes ICC profiles of known colors (ICC.1:2022, sections 7 to 10)."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

# Primaries of sRGB in XYZ under D50, one in each column, as its own profile has them (Bradford).
SRGB = np.array(
    [
        [0.43607, 0.38515, 0.14307],
        [0.22249, 0.71687, 0.06061],
        [0.01392, 0.09708, 0.71410],
    ]
)
# Those of Display P3 (SMPTE EG 432-1, adapted from D65 to D50 by Bradford).
DISPLAY_P3 = np.array(
    [
        [0.51512, 0.29198, 0.15710],
        [0.24120, 0.69225, 0.06657],
        [-0.00105, 0.04189, 0.78407],
    ]
)


def fixed(value: float) -> bytes:
    """s15Fixed16Number."""
    return struct.pack(">i", round(value * 65536))


def profile(space: bytes, kind: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A version 2 profile."""
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">II", start + len(body), 0) + struct.pack(">I", 0x02400000)
    header += kind + space + connection + bytes(12) + b"acsp" + bytes(28)
    header += fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    return header + bytes(128 - len(header)) + table + body


def gamma(exponent: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256)) + bytes(2)


def xyz(values: Matrix) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(fixed(value) for value in values)


# IEC 61966-2-1, encoded as in ICC.1:2022, section 10.18.
SRGB_CURVE = (
    b"para"
    + bytes(4)
    + struct.pack(">HH", 3, 0)
    + b"".join(fixed(value) for value in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)


def rgb_profile(primaries: Matrix, curve: bytes = gamma(2.2)) -> bytes:
    tags = {b"wtpt": xyz(np.array([0.9642, 1.0, 0.8249]))}
    for index, name in enumerate((b"r", b"g", b"b")):
        tags[name + b"XYZ"] = xyz(primaries[:, index])
        tags[name + b"TRC"] = curve
    return profile(b"RGB ", b"mntr", b"XYZ ", tags)


def grey_profile(exponent: float) -> bytes:
    tags = {b"wtpt": xyz(np.array([0.9642, 1.0, 0.8249])), b"kTRC": gamma(exponent)}
    return profile(b"GRAY", b"mntr", b"XYZ ", tags)


def cmyk_profile(ink_lightness: float) -> bytes:
    """A printer whose inks are all grey. L* is 100 without ink, `ink_lightness` with all four, and
    in proportion to the ink between them.
    """
    identity = bytes(range(256))
    grid = b""
    for corner in range(16):
        share = bin(corner).count("1") / 4
        lightness = 100 + share * (ink_lightness - 100)
        grid += bytes([round(lightness * 2.55), 128, 128])
    matrix = b"".join(fixed(float(value)) for value in np.eye(3).flatten())
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix
    return profile(b"CMYK", b"prtr", b"Lab ", {b"A2B0": table + identity * 4 + grid + identity * 3})
