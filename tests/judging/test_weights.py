"""What all e-processes of one criterion weigh that a rollout ever has: at most one, however many stages it enters."""

from datetime import timedelta
from math import exp

import pytest

from core.judging.engine.terms.evidence_index import EvidenceIndex
from core.judging.engine.terms.list_terms import list_overall_terms, list_segment_terms
from core.judging.model.question import StageDesign


@pytest.fixture(scope="module")
def seen(world, traffic):
    """What a look at each of eight stages saw, in the order in which they were entered."""
    here = world(seed=3, users=4000)
    here.cuts = ("language",)
    here.stages = ()
    sights = []
    for index in range(8):
        here.enter(StageDesign(index=index, name="s", compared=True, canary_share=(index + 2) / 10, control_left=True))
        for _ in range(2):  # the second knows where means are cut
            here.at += timedelta(minutes=1)
            here.serve(3000, traffic(), traffic())
            here.look()
        sights.append((here.question, EvidenceIndex(here.question, here.looks[-1], here.state)))
    return here, sights


def total(spent):
    """Since the first stage once, and since each later one for as long as it was under way."""
    first = spent[0]
    return first + sum(weight - first for weight in spent[1:])


def test_a_segment_has_no_more_weight_however_often_it_begins_anew(seen):
    here, sights = seen
    segment = here.state.slots[0]
    for position in filter(here.question.is_judged_in_segments, range(len(here.question.criteria))):
        spent = [
            sum(exp(term.log_weight) for term in list_segment_terms(sight, position, segment)) for _, sight in sights
        ]
        assert total(spent) <= 1 + 1e-9
        assert not any(spent) or total(spent) > 0.9


def test_what_only_the_catalogue_watches_has_no_more_weight_either(seen):
    here, sights = seen
    for position in filter(here.question.is_default_limit, range(len(here.question.criteria))):
        spent = [
            sum(
                exp(one.log_weight)
                for one in list_overall_terms(sight, position)
                if "in the last " not in one.estimate.note
            )
            for _, sight in sights
        ]
        assert total(spent) <= 1 + 1e-9
