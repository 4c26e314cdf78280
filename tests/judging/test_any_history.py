"""Whatever comes in, in whatever order, is judged and recorded, judged again alike, and a rollback stays one."""

from collections import Counter
from datetime import timedelta

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.judging import record
from core.judging.judge import judge
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.model.evidence import CATEGORY_PREFIX, EVERYONE, REQUESTS, CellKey, exceedance_cell
from core.judging.model.question import StageDesign
from core.judging.model.state import JudgingState
from core.judging.model.verdict import RollBack
from core.metrics.catalogue import CATALOGUE, MetricKind
from core.stats import quantile

POINTS, RELATIVE, ABSOLUTE = LimitScale.POINTS, LimitScale.RELATIVE, LimitScale.ABSOLUTE
ASKED = (
    ("refusal_rate", LimitKind.RISES_BY, 0.01, POINTS, {}),
    ("eval_pass_rate", LimitKind.DROPS_BY, 0.02, POINTS, {"strict": True}),
    ("cache_hit_rate", LimitKind.CHANGES_BY, 0.3, RELATIVE, {"strict": True}),
    ("hard_error_rate", LimitKind.EXCEEDS, 0.05, ABSOLUTE, {"lasting": timedelta(minutes=1)}),
    ("cost_per_request", LimitKind.RISES_BY, 0.15, RELATIVE, {}),
    ("eval_score", LimitKind.DROPS_BY, 0.9, RELATIVE, {"strict": True}),
    ("llm_calls_per_request", LimitKind.EXCEEDS, 1e-9, ABSOLUTE, {}),
    ("output_tokens", LimitKind.CHANGES_BY, 0.2, RELATIVE, {"role": LimitRole.HOLD}),
    ("latency_p95", LimitKind.EXCEEDS, 4000, ABSOLUTE, {"role": LimitRole.HOLD}),
    ("latency_p95", LimitKind.RISES_BY, 0.15, RELATIVE, {}),
    ("latency_p50", LimitKind.DROPS_BY, 0.99, RELATIVE, {}),
    ("complaint_rate", LimitKind.EXCEEDS_NORMAL_BY, 0.5, RELATIVE, {}),
    ("new_error_category", LimitKind.RATE_ABOVE, 0.002, ABSOLUTE, {"min_events": 2}),
)
LIMITS = tuple(
    Limit(metric=metric, kind=kind, amount=amount, scale=scale, **{"role": LimitRole.ROLLBACK, **more})
    for metric, kind, amount, scale, more in ASKED
)
METRICS = tuple(dict.fromkeys(limit.metric for limit in LIMITS if not limit.is_per_category))
NAMES = ("de", "a|b", "x=y", "p:q", "a>b", "c~d", "", "ä€😀", "refusal_rate", "requests")
READINGS = st.sampled_from((0.0, 1e-300, 1e-9, 0.3, 1.0, 17.5, 3999.0, 1e12))
STEPS = st.one_of(
    st.tuples(st.just("look"), st.sampled_from((0, 10, 61, 7200, 400_000, -3600))),
    st.tuples(
        st.just("serve"),
        st.sampled_from(("canary", "control")),
        st.sampled_from((1, 2, 60, 600)),
        st.sets(st.sampled_from(METRICS)),
        READINGS,
        READINGS,
        st.sampled_from(NAMES),
        st.booleans(),  # in the first stage, late
    ),
    st.tuples(st.just("complain"), st.sampled_from(("canary", "control")), st.sampled_from((1, 500))),
    st.tuples(st.just("fail"), st.sampled_from(("canary", "control")), st.sampled_from(NAMES), st.sampled_from((1, 9))),
    st.tuples(st.just("enter"), st.sampled_from((0.01, 0.5, 1.0, None))),
)


def of_kind(metric, value):
    """A reading as intake lets it through."""
    match CATALOGUE[metric].kind:
        case MetricKind.PROPORTION:
            return float(value >= 1)
        case MetricKind.SHARE:
            return min(value, 1.0)
        case _:
            return value


class History:
    """One world in which anything may happen."""

    def __init__(self, here):
        self.here = here
        here.cuts, here.stages, self.rolled_back = ("language",), (), None
        self.enter(0.05)

    def enter(self, share):
        """Into another stage; None is one that shows the new version to nobody."""
        left = share is None or share < 1
        index = len(self.here.stages)
        self.here.enter(
            StageDesign(index=index, name="s", compared=bool(share) and left, canary_share=share, control_left=left)
        )

    def serve(self, arm, requests, metrics, common, rare, name, late):
        """So many requests with these metrics, every third reading being the rare one."""
        here, stage = self.here, 0 if late else self.here.question.current
        units = here.random.integers(0, here.users, requests)
        here.seen.setdefault((stage, arm), set()).update(units.tolist())
        bucket = here.bucket[units]

        def key(metric):
            return [CellKey(stage=stage, arm=arm, segment=x, metric=metric) for x in (EVERYONE, f"language={name}")]

        here.add(key(REQUESTS), bucket, np.ones(requests))
        for metric in sorted(metrics - {"complaint_rate"}):
            value = np.full(requests, of_kind(metric, common))
            value[::3] = of_kind(metric, rare)
            if CATALOGUE[metric].kind is MetricKind.MEAN:
                here.mean(key, metric, bucket, value)
                continue
            here.add(key(metric), bucket, value)
            if CATALOGUE[metric].kind is MetricKind.QUANTILE:
                here.add(key(exceedance_cell(metric, 4000)), bucket, value > 4000)
                for one in key(metric):
                    here.histograms.setdefault(one, Counter()).update(quantile.bin_index(x) for x in value)

    def happen(self, arm, metric, events):
        """Complaints, which come without a request, or errors of a kind, which are one."""
        bucket = self.here.bucket[self.here.random.integers(0, self.here.users, events)]
        for counted in (metric, REQUESTS) if metric.startswith(CATEGORY_PREFIX) else (metric,):
            key = CellKey(stage=self.here.question.current, arm=arm, segment=EVERYONE, metric=counted)
            self.here.add([key], bucket, np.ones(events))

    def look(self, seconds):
        """Judged, and judged again from what is recorded."""
        here = self.here
        here.at += timedelta(seconds=seconds)
        before, question = here.state or JudgingState(), here.question
        found = here.look()
        kept = record.RecordedLook(engine=record.ENGINE_VERSION, look=here.looks[-1], question=question)
        recorded = record.load_recorded_look(record.recorded_look_to_json(kept))
        again = judge(recorded.question, recorded.look, before)
        assert record.to_json(again) == record.to_json(found)
        assert record.load_judgement(record.to_json(found)) == found
        assert self.rolled_back is None or found.verdict == self.rolled_back
        if isinstance(found.verdict, RollBack):
            self.rolled_back = found.verdict
        assert set(before.slots) <= set(found.state.slots)
        if before.stage == question.current:
            assert set(before.kept) <= set(found.state.kept)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, max_size=25), st.integers(0, 9))
def test_whatever_happens_is_judged_and_judged_again_alike(world, steps, seed):
    history = History(world(LIMITS, seed=seed, users=500))
    for step in (*steps, ("look", 10)):
        match step:
            case ("look", seconds):
                history.look(seconds)
            case ("serve", *what):
                history.serve(*what)
            case ("complain", arm, events):
                history.happen(arm, "complaint_rate", events)
            case ("fail", arm, name, events):
                history.happen(arm, CATEGORY_PREFIX + name, events)
            case ("enter", share):
                history.enter(share)
