"""A stratum with nobody in it is found before the start, by the traffic that was counted."""

from typing import Any

import pytest

from core.evals.coverage import SegmentTraffic
from core.files.foresight.strata_traffic import StratumTraffic, estimate_strata
from core.rollout.plans.plan import Plan
from tests.rollout.conftest import plan_of


def traffic(**more: Any) -> SegmentTraffic:
    shares = {"plan=free": 0.7, "plan=pro": 0.3, "language=en": 1.0}
    return SegmentTraffic(**{"rollout": "R-3", "requests": 12_345, "shares": shares, **more})


def plan(**where: str | tuple[str, ...]) -> Plan:
    return plan_of(strata={"some": where})


def estimate(seen: SegmentTraffic | None, **where: str | tuple[str, ...]) -> StratumTraffic:
    (found,) = estimate_strata(plan(**where), seen)
    return found


def test_one_with_nobody_in_it_is_empty() -> None:
    found = estimate(traffic(), plan="enterprise")
    assert found.is_empty
    assert (found.deciding, found.values, found.rollout, found.requests) == ("plan", ("enterprise",), "R-3", 12_345)


def test_the_share_is_that_of_its_rarest_condition() -> None:
    assert estimate(traffic(), plan=("free", "pro")).share == pytest.approx(1.0)
    assert estimate(traffic(), plan="pro", language="en").share == 0.3


@pytest.mark.parametrize("where", [{"country": "DE"}, {"email_domain": "example.com"}])
def test_of_an_attribute_that_was_not_kept_nothing_is_known(where: dict[str, str]) -> None:
    assert estimate(traffic(), **where).share is None


def test_without_traffic_nothing_is_known() -> None:
    assert estimate(None, plan="enterprise").share is None


def test_where_rare_values_lost_their_names_a_missing_one_is_not_called_empty() -> None:
    assert estimate(traffic(unnamed=frozenset({"plan"})), plan="enterprise").share is None


def test_who_was_selected_first_is_not_missed() -> None:
    seen = traffic(shares={"plan=pro": 1.0}, elsewhere=frozenset({"plan=free"}))
    assert estimate(seen, plan="free").share is None
    assert estimate(seen, plan="pro").share is None, "its share of everybody is not known either"
    assert estimate(seen, plan="enterprise").is_empty
