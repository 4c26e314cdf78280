"""How much of the live traffic each stratum of a plan has, so that one with nobody in it is found before the start."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.evals.coverage import SegmentTraffic
from core.flags.targeting import EMAIL_DOMAIN
from core.rollout.plans.plan import Plan
from core.rollout.serving.strata import Stratum, list_strata


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumTraffic:
    """A stratum and the largest share of the traffic that it can have, 0 to 1; None where its attributes are not known.

    `deciding` is the attribute by which it has so little, and `rollout` and `requests` say where that was counted.
    """

    stratum: str
    share: float | None = None
    deciding: str = ""
    values: tuple[str, ...] = ()
    rollout: str = ""
    requests: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nobody was in it."""
        return self.share == 0


def estimate_strata(plan: Plan, traffic: SegmentTraffic | None) -> Sequence[StratumTraffic]:
    """Each stratum of the plan, in order."""
    return tuple(_estimate(stratum, traffic) for stratum in list_strata(plan))


def _estimate(stratum: Stratum, traffic: SegmentTraffic | None) -> StratumTraffic:
    """The share of its rarest condition.

    A dimension with values that lost their names tells nothing of a rare one. Where some people were selected first,
    they are missing from the shares, so that only a value that nobody had is certain.
    """
    found = StratumTraffic(stratum=stratum.name)
    if traffic is None:
        return found
    dimensions = {name.partition("=")[0] for name in traffic.shares}
    for attribute, value in stratum.where.items():
        values = (value,) if isinstance(value, str) else tuple(value)
        if attribute == EMAIL_DOMAIN or attribute not in dimensions:
            continue
        names = [f"{attribute}={one}" for one in values]
        share = sum(traffic.shares.get(name, 0.0) for name in names)
        is_certain = not traffic.elsewhere if share else traffic.elsewhere.isdisjoint(names)
        if not is_certain or (not share and attribute in traffic.unnamed):
            continue
        if found.share is None or share < found.share:
            found = StratumTraffic(
                stratum=stratum.name,
                share=min(share, 1.0),
                deciding=attribute,
                values=values,
                rollout=traffic.rollout,
                requests=traffic.requests,
            )
    return found
