"""Reports refused, late, misplaced or sent twice on one side only: the arms cannot be compared, and that is said."""

import numpy as np
import pytest

from core.judging.model.evidence import EVERYONE, CellKey
from core.judging.model.verdict import Hold
from core.metrics.catalogue import COUNTED_AT_INTAKE

REFUSED = "refused_items"


def flawed(here, arm, units):
    """One flawed report of each of these many units."""
    buckets = here.random.integers(0, 256, units)
    here.add([CellKey(stage=2, arm=arm, segment=EVERYONE, metric=REFUSED)], buckets, np.ones(units))


@pytest.mark.parametrize("arm", ["canary", "control"])
def test_a_fifth_refused_on_one_side_holds_by_name(world, traffic, arm):
    here = world()
    here.serve(4000, traffic(), traffic())
    flawed(here, arm, 45 if arm == "canary" else 800)
    verdict = here.look().verdict
    assert isinstance(verdict, Hold)
    assert [finding.metric for finding in verdict.findings] == [REFUSED]


def test_as_many_refused_on_both_sides_hold_nothing_and_are_shown(world, traffic):
    here = world()
    for _ in range(5):
        here.serve(4000, traffic(), traffic())
        flawed(here, "canary", 40)
        flawed(here, "control", 760)
        found = here.look()
        assert not isinstance(found.verdict, Hold)
    assert REFUSED in {row.metric for row in found.measures}
    assert {REFUSED} <= COUNTED_AT_INTAKE
