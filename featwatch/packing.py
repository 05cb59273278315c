"""Arrays made small: fewer bits where nobody sees them, and bytes of the same significance side by side, deflated."""

from __future__ import annotations

import zlib

import numpy as np

LEAST_BYTES = 64        # smaller arrays are not worth an entry
SEARCHED_BYTES = 1 << 17    # of elements of several bytes; beyond, runs alone are looked for
WORTH = 0.9             # of its size: what takes more is left as it is
_MANTISSA = 24          # significant bits of a float32, with the one that is not stored


def rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """float32 `values`, each the nearest that has no more than `bits` significant bits, 2 to 24.

    The relative error is at most 2^−bits, of subnormal values more.  NaN and infinity stay what they are, and
    no finite value becomes infinite.

    >>> rounded(np.float32([1 / 3, 1.0, 0.0, np.nan]), 13).tolist()
    [0.33331298828125, 1.0, 0.0, nan]
    """
    values = np.ascontiguousarray(values, np.float32)
    if bits >= _MANTISSA:
        return values
    spare = np.uint32(_MANTISSA - bits)
    stored = values.view(np.uint32)
    cut = stored >> spare << spare
    # To the nearest, of two equally near to the even one, as IEEE 754 has it; a carry reaches the exponent by itself.
    half = (np.uint32(1) << (spare - np.uint32(1))) - np.uint32(1) + (stored >> spare & np.uint32(1))
    known = np.isfinite(values)
    nearest = np.where(known, stored + np.where(known, half, np.uint32(0)), stored) >> spare << spare
    nearest = np.where(np.isfinite(nearest.view(np.float32)), nearest, cut)
    return np.where(known, nearest, stored).view(np.float32)


def packed(array: np.ndarray) -> bytes | None:
    """The array's bytes, packed; None where that saves less than a tenth.

    First the lowest byte of every element, then the next one and so on, as HDF5's shuffle filter has it; then
    deflated as by zlib, in the smaller of two ways.  Of most measured numbers only runs of equal bytes recur, and
    looking for these alone finds them three times as fast; of shares and pictures there is more to be found, which
    is looked for in what is small enough.
    """
    if array.nbytes < LEAST_BYTES:
        return None
    rows = np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.itemsize)
    shuffled = np.ascontiguousarray(rows.T).tobytes()
    ways = [_deflated(shuffled, zlib.Z_RLE)] if array.itemsize > 1 else []
    if not ways or array.nbytes <= SEARCHED_BYTES:
        ways.append(_deflated(shuffled, zlib.Z_DEFAULT_STRATEGY))
    made = min(ways, key=len)
    return made if len(made) <= WORTH * array.nbytes else None


def _deflated(content: bytes, strategy: int) -> bytes:
    deflater = zlib.compressobj(4, strategy=strategy)
    return deflater.compress(content) + deflater.flush()


def unpacked(blob: bytes, itemsize: int, count: int) -> bytes:
    """The bytes of `count` elements, at least one, that `packed` was given.

    Never takes more memory than these need.  Raises ValueError where the blob holds anything else.
    """
    expected = itemsize * count
    if expected < 1:
        raise ValueError("an empty array is not packed")
    inflater = zlib.decompressobj()
    try:
        # With a limit of 0 there would be none.
        shuffled = inflater.decompress(blob, expected)
        beyond = inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(shuffled) != expected or beyond or not inflater.eof or inflater.unused_data:
        raise ValueError(f"it does not hold {expected:,} bytes")
    return np.frombuffer(shuffled, np.uint8).reshape(itemsize, count).T.tobytes()
