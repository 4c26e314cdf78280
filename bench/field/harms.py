"""Fourteen ways in which a new version is worse: small and large, at once and late, for some and for all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bench.field.people import LANGUAGES, People

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """What the new version does to a request. Shifts are added to rates, factors multiply amounts.

    `late` is when it begins, as a part of the trial's length; `from_percent` the share of people on the new version
    from which on it shows; `whom` who is hit. `twice`: it is at least twice what some rollback limit allows, for
    everybody, so that it must not reach everybody.
    """

    passes: float = 0.0
    refuses: float = 0.0
    errors: float = 0.0
    clicks: float = 0.0
    cost: float = 1.0
    latency: float = 1.0
    tail: float = 0.0  # share of answers that take ten times as long
    complaints: float = 0.0
    new_error: float = 0.0
    late: float = 0.0
    from_percent: float = 0.0
    whom: Callable[[People], Mask] | None = None
    twice: bool = True


def _language(name: str) -> Callable[[People], Mask]:
    return lambda people: people.language == LANGUAGES.index(name)


HARMS: Mapping[str, Harm] = MappingProxyType(
    {
        "quality -4 pp": Harm(passes=-0.04),
        "quality -12 pp": Harm(passes=-0.12),
        "quality -12 pp, late": Harm(passes=-0.12, late=0.3),
        "refusals +2 pp": Harm(refuses=0.02),
        "refusals +6 pp": Harm(refuses=0.06),
        "refusals +50 pp in Japanese": Harm(refuses=0.5, whom=_language("ja"), twice=False),
        "errors +1 pp": Harm(errors=0.01),
        "errors +5 pp": Harm(errors=0.05),
        "cost +30 %": Harm(cost=1.3),
        "cost x2 for heavy users": Harm(cost=2.0, whom=lambda people: people.heavy, twice=False),
        "slow answers 8 %": Harm(tail=0.08),
        "new error 0.5 %": Harm(new_error=0.005),
        "complaints x4": Harm(complaints=0.006),
        "quality -12 pp from 50 %": Harm(passes=-0.12, from_percent=50, twice=False),
    }
)
