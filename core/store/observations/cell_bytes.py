"""How the sums and the histogram of a cell are stored: 64-bit numbers, lowest byte first."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from core.judging.model.evidence import BUCKETS


def pack_sums(sums: NDArray[np.float64]) -> bytes:
    """Weights and values by bucket, an array of shape (2, BUCKETS), as stored."""
    return sums.astype("<f8").tobytes()


def unpack_sums(buckets: bytes) -> NDArray[np.float64]:
    """What `pack_sums` stored."""
    return np.frombuffer(buckets, "<f8").reshape(2, BUCKETS)


def pack_bins(histogram: Mapping[int, int] | None) -> bytes | None:
    """The count of each bin, as stored; None if there is no histogram."""
    return None if histogram is None else np.array(sorted(histogram.items()), "<i8").tobytes()


def unpack_bins(histogram: bytes) -> dict[int, int]:
    """What `pack_bins` stored."""
    return dict(np.frombuffer(histogram, "<i8").reshape(-1, 2).tolist())
