"""Layers: how surfaces that share users divide them, so that no unit is in two changes at once (pure)."""

from collections.abc import Iterable
from dataclasses import dataclass

from core.flags.bucketing import MILLION

Ranges = tuple[tuple[int, int], ...]
"""Slots of a layer, in ppm: each [from, below), in order and apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """The surfaces of a layer in the order of their names, each with its share of the users in ppm."""

    name: str
    shares: tuple[tuple[str, int], ...]

    def share_of(self, surface: str) -> int:
        """The share of a surface in ppm; 0 if it is not in the layer."""
        return dict(self.shares).get(surface, 0)

    def find_start(self, surface: str) -> int:
        """The first slot of the surface's own share: those before it by name come first."""
        return sum(share for name, share in self.shares if name < surface)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSlots:
    """The slots of a layer that a rollout was given at its start. They stay its own until it ends."""

    layer: str
    ranges: Ranges

    @property
    def share(self) -> float:
        """The share of all users, 0 to 1."""
        return sum(below - start for start, below in self.ranges) / MILLION


def find_layer(layers: Iterable[Layer] | None, surface: str) -> Layer | None:
    """The layer of a surface; None if it is in none."""
    return next((layer for layer in layers or () if layer.share_of(surface)), None)


def divide_equally(name: str, written: Iterable[tuple[str, int | None]]) -> Layer:
    """A layer from the shares that were written; what they leave is divided equally among the others."""
    given = sorted(written)
    open_ = [surface for surface, share in given if share is None]
    left = max(0, MILLION - sum(share for _, share in given if share is not None))
    parts = {
        surface: left * (number + 1) // len(open_) - left * number // len(open_) for number, surface in enumerate(open_)
    }
    return Layer(
        name=name,
        shares=tuple((surface, parts[surface] if share is None else share) for surface, share in given),
    )


def allocate_slots(layer: Layer, surface: str, taken: Iterable[Ranges]) -> LayerSlots | None:
    """The slots for a rollout that starts now: the surface's own, or where others hold some of them, the next that
    are free. None if fewer are free than its share."""
    wanted, start = layer.share_of(surface), layer.find_start(surface) % MILLION
    free = _list_free(taken)
    found: list[tuple[int, int]] = []
    # from its own first slot to the end, then from the beginning
    for low, high in ((start, MILLION), (0, start)):
        for first, last in free:
            begin, end = max(first, low), min(last, high)
            if wanted > 0 and begin < end:
                found.append((begin, min(end, begin + wanted)))
                wanted -= found[-1][1] - begin
    return LayerSlots(layer=layer.name, ranges=_join_ranges(found)) if wanted <= 0 else None


def measure_free(taken: Iterable[Ranges]) -> int:
    """How many slots nobody holds, in ppm."""
    return sum(below - start for start, below in _list_free(taken))


def _list_free(taken: Iterable[Ranges]) -> list[tuple[int, int]]:
    free, at = [], 0
    for start, below in _join_ranges(one for ranges in taken for one in ranges):
        if at < start:
            free.append((at, start))
        at = max(at, below)
    return [*free, (at, MILLION)] if at < MILLION else free


def _join_ranges(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same slots in order; ranges that touch or overlap are one."""
    joined: list[tuple[int, int]] = []
    for start, below in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], below))
        else:
            joined.append((start, below))
    return tuple(joined)
