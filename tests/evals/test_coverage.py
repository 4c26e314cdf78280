"""What live traffic holds and a suite does not."""

import pytest

from core.evals.coverage import SegmentTraffic, UncoveredSegment, find_coverage

TRAFFIC = SegmentTraffic(
    rollout="R-1",
    requests=20_000,
    shares={
        "language=de": 0.58,
        "language=en": 0.30,
        "language=tr": 0.12,
        "intent=billing": 0.60,
        "intent=cancel": 0.08,
        "intent=tone": 0.315,
        "intent=odd": 0.005,
    },
)


@pytest.mark.shows("E41")
def test_segments_without_a_case_are_named_with_their_share_largest_first() -> None:
    found = find_coverage(TRAFFIC, ("billing", "tone", "language=de", "language=en"))
    assert found.uncovered == (
        UncoveredSegment(segment="language=tr", share=0.12),
        UncoveredSegment(segment="intent=cancel", share=0.08),
    )
    assert found.at_least == pytest.approx(0.12)  # they overlap: 12 % are certain, 20 % are not


def test_shares_within_one_dimension_add_up() -> None:
    found = find_coverage(TRAFFIC, ("language=de", "billing", "tone", "cancel"))
    assert found.at_least == pytest.approx(0.42)


def test_a_segment_is_covered_however_its_name_is_spelt() -> None:
    covers = ("Billing.", "TONE", "cancel", "language=DE", "language=en", "language= tr ")
    assert find_coverage(TRAFFIC, covers).uncovered == ()


def test_a_dimension_of_which_no_case_says_anything_is_told_apart() -> None:
    found = find_coverage(TRAFFIC, ("billing", "tone", "cancel"))
    assert (found.uncovered, found.unlabelled, found.at_least) == ((), ("language",), 0.0)


def test_without_traffic_or_results_nothing_is_claimed() -> None:
    assert not find_coverage(None, ("billing",)).is_known
    assert not find_coverage(TRAFFIC, ()).is_known
