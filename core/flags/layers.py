"""Layers: which units belong to one of several surfaces that share users, so that no unit is in two changes at once."""

from collections.abc import Callable
from dataclasses import dataclass

from core.flags.bucketing import make_bucketer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerShare:
    """The units of a layer that one rollout may touch: those whose slot lies in one of `ranges`, each [from, below) in
    ppm."""

    layer: str
    ranges: tuple[tuple[int, int], ...]
    slot: Callable[[str], int]

    def includes(self, unit: str) -> bool:
        """Whether the unit is one of them. UnicodeEncodeError on lone surrogates."""
        slot = self.slot(unit)
        return any(start <= slot < below for start, below in self.ranges)


def build_layer_share(layer: str, ranges: tuple[tuple[int, int], ...]) -> LayerShare:
    """The share, with the layer's own hash: it depends neither on the surface nor on the rollout."""
    return LayerShare(layer=layer, ranges=ranges, slot=make_bucketer("layer", layer))
