"""Layers: which units belong to one of several surfaces that share users."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, TypeAlias

from rampart_client.bucketing import build_prefix, find_threshold

IsInLayer: TypeAlias = Callable[[str], bool]


def compile_layer(layer: Mapping[str, Any] | None) -> IsInLayer | None:
    """Whether a unit's slot in the layer is among those of the surface; None without a layer.

    UnicodeEncodeError on lone surrogates.
    """
    if layer is None:
        return None
    prefix = build_prefix("layer", layer["name"])
    ranges = tuple((find_threshold(start), find_threshold(below)) for start, below in layer["slots"])

    def is_in_layer(unit: str) -> bool:
        digest = sha256(prefix + unit.encode()).digest()
        return any(not digest < start and digest < below for start, below in ranges)

    return is_in_layer
