"""What a file may say of those who keep the old version after the end, and what is said back."""

from datetime import timedelta

import pytest

from core.files.write_file import export_plan
from core.rollout.plans.plan import Holdout

HELD = "holdout: {percent: 2%, for: 90d}\n"


def test_a_holdout_is_in_the_plan_and_is_written_back(built, small):
    plan = built(small() + HELD)

    assert plan.holdout == Holdout(percent=2, lasts=timedelta(days=90))
    assert built(export_plan(plan)).holdout == plan.holdout
    assert plan.fingerprint() != built(small()).fingerprint()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{percent: 0%, for: 90d}", "0% is outside 0% to 100%"),
        ("{percent: 30%, for: 90d}", "hold back at most 20%"),
        ("{percent: 2%, for: 5m}", "hold them back for 1h at least and 366d at most"),
    ],
)
def test_a_holdout_out_of_bounds_is_refused(refused, small, written, said):
    assert said in refused(small() + f"holdout: {written}\n")


def test_a_driven_flag_reaches_everybody_so_it_holds_nobody_back(checked, small):
    text = small(("  - cohort: {name: internal, where: {email_domain: example.com}, hold: 2h}\n", "")) + HELD
    drives = "drives: {unleash: {url: https://flags.example.com, project: p, environment: e, feature: f, strategy: s}}"

    assert "holdout: a driven flag is set to 100% at the end" in checked(text + drives)
    assert "holdout" not in checked(text)


def test_an_old_version_that_is_switched_off_before_the_end_is_a_warning(checked, small):
    edit = ('to: {prompt: "Fix first."}', 'to: {prompt: "Fix first."}\n  rollback_to_available_until: "2027-01-31"')

    said = checked(small(edit) + HELD)

    assert "warning: holdout.for: v42 can be called until 2027-01-31 only, so the holdout ends before" in said
    assert "holdout" not in checked(small(edit) + HELD.replace("90d", "30d"))
