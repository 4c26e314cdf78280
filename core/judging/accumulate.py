"""The state after a look: exact e-processes advanced by what came in, and what has to be remembered for the next."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np

from core.judging import crossing
from core.judging.evidence import CANARY, CATEGORY, CONTROL, REQUESTS, counter
from core.judging.hypothesis import Hypothesis, hypotheses
from core.judging.limits import Limit, Scale
from core.judging.look import Look
from core.judging.question import Question
from core.judging.state import CategoryTrack, Part, State, Total, Track
from core.judging.step import Step
from core.metrics.catalogue import CATALOGUE, Kind
from core.stats import proportion, rate
from core.stats.checked import Array

GATE_REQUESTS = 100
GATE_UNITS = 100
EDGE = 1e-6


def advance(question: Question, look: Look, before: State) -> State:
    """The state after this look, but for what the verdict itself adds to it."""
    totals = _totals(look, before)
    baselines = {**look.baselines, **before.baselines}
    current = replace(before, totals=totals, baselines=baselines, looks=before.looks + 1)
    return replace(
        current,
        tracks=_tracks(question, look, before, current),
        categories=_categories(question, look, before, current),
        thresholds=look.thresholds,
        taus=_taus(question, look, before),
        stage=question.current,
        stage_seen=before.stage_seen if before.stage == question.current else look.at,
        last_request=_last_request(question, look, before),
    )


def canary_units(look: Look, since: int) -> int:
    """Distinct canary units since a stage: at least those of its largest stage, as units come back."""
    return max((exposure.canary for exposure in look.exposures if exposure.stage >= since), default=0)


def gate_is_open(look: Look, metric: str, since: int) -> bool:
    """Whether there is enough for a normal approximation: 100 canary requests of 100 canary units."""
    standing = look.standing(metric, since)
    return standing is not None and standing.level_weight >= GATE_REQUESTS and canary_units(look, since) >= GATE_UNITS


def _totals(look: Look, before: State) -> Mapping[str, Total]:
    totals = dict(before.totals)
    for step in look.steps:
        was = before.total(step.stage, step.metric)
        for_canary = step.metric.startswith(CATEGORY)
        canary_aside = (step.aside_trials, step.aside_events) if for_canary else (0.0, 0.0)
        control_aside = (0.0, 0.0) if for_canary else (step.aside_trials, step.aside_events)
        totals[f"{step.stage}|{step.metric}"] = Total(
            canary_trials=was.canary_trials + step.canary_trials + canary_aside[0],
            canary_events=was.canary_events + step.canary_events + canary_aside[1],
            control_trials=was.control_trials + step.control_trials + control_aside[0],
            control_events=was.control_events + step.control_events + control_aside[1],
        )
    return {key: totals[key] for key in sorted(totals)}


def _tracks(question: Question, look: Look, before: State, current: State) -> tuple[Track, ...]:
    tracks = {(t.limit, t.side, t.since, t.part): np.array(t.components) for t in before.tracks}
    for position, limit in enumerate(question.limits):
        for hypothesis in hypotheses(limit):
            for step in _steps_of(position, limit, hypothesis, look):
                part, gains = _gains(question, limit, hypothesis, step, before, current)
                if gains is None:
                    continue
                for since in _epochs(question, part):
                    if since <= step.stage:
                        key = (position, hypothesis.side, since, part)
                        tracks[key] = tracks.get(key, np.zeros_like(gains)) + gains
    return tuple(
        Track(limit=limit, side=side, since=since, part=part, components=tuple(float(x) for x in tracks[key]))
        for key in sorted(tracks)
        for limit, side, since, part in [key]
    )


def _epochs(question: Question, part: Part) -> tuple[int, ...]:
    if part == "alone":
        return question.alone[:1]
    return question.compared if part == "pair" else question.exposed


def _steps_of(position: int, limit: Limit, hypothesis: Hypothesis, look: Look) -> Iterator[Step]:
    entry = CATALOGUE[limit.metric]
    if limit.per_category or entry.kind is Kind.MEAN:
        return
    if crossing.is_crossed(limit):
        name = crossing.metric_of(position, hypothesis.side)
        yield from (step for step in look.crossings if step.metric == name)
        return
    name = counter(limit.metric, limit.amount) if entry.kind is Kind.QUANTILE else limit.metric
    yield from (step for step in look.steps if step.metric == name)


def _gains(
    question: Question, limit: Limit, hypothesis: Hypothesis, step: Step, before: State, current: State
) -> tuple[Part, Array | None]:
    entry = CATALOGUE[limit.metric]
    if limit.absolute:
        bound = 1 - entry.quantile if entry.quantile is not None else limit.amount
        return "fixed", _against(step, hypothesis, bound)
    if step.stage in question.compared:
        return "pair", _beside(limit, hypothesis, step, before, current)
    if step.stage not in question.alone or limit.metric not in current.baselines:
        return "alone", None
    if crossing.is_crossed(limit):
        assert entry.quantile is not None
        return "alone", _against(step, hypothesis, 1 - entry.quantile)
    baseline = current.baselines[limit.metric].value
    return "alone", _against(step, hypothesis, hypothesis.bound_ratio * baseline + hypothesis.bound_shift)


def _against(step: Step, hypothesis: Hypothesis, bound: float) -> Array | None:
    # An event that comes after its request's look counts as a trial once more, which only understates the rate.
    trials = max(step.canary_trials, step.canary_events)
    if trials == 0:
        return None
    inside = min(max(bound, EDGE), 1 - EDGE)
    return proportion.one_sample_steps(step.canary_events, trials, side=hypothesis.side, bound=inside)


def _beside(limit: Limit, hypothesis: Hypothesis, step: Step, before: State, current: State) -> Array | None:
    if CATALOGUE[limit.metric].kind is Kind.COUNT:
        # Events may come later than their requests, so the exposure is everything served in the stage up to now.
        served = current.total(step.stage, REQUESTS)
        if step.canary_events + step.control_events == 0:
            return None
        ratio = hypothesis.ratio if limit.scale is Scale.RELATIVE else 1.0
        return rate.two_sample_steps(
            step.canary_events,
            step.control_events,
            served.canary_trials,
            served.control_trials,
            side=hypothesis.side,
            ratio=ratio,
        )
    if step.canary_trials == 0 or step.control_trials == 0:
        return None
    earlier = Total() if crossing.is_crossed(limit) else before.total(step.stage, step.metric)
    return proportion.two_sample_steps(
        min(step.canary_events, step.canary_trials),
        step.canary_trials,
        min(step.control_events, step.control_trials),
        step.control_trials,
        earlier_successes=earlier.control_events + step.aside_events,
        earlier_trials=earlier.control_trials + step.aside_trials,
        side=hypothesis.side,
        ratio=hypothesis.ratio,
        shift=hypothesis.shift,
    )


def _categories(question: Question, look: Look, before: State, current: State) -> tuple[CategoryTrack, ...]:
    found = list(before.categories)
    for position, limit in enumerate(question.limits):
        if not limit.per_category:
            continue
        known = {track.name: at for at, track in enumerate(found) if track.limit == position}
        for step in look.steps:
            if not step.metric.startswith(CATEGORY):
                continue
            name = step.metric.removeprefix(CATEGORY)
            if name in known:
                found[known[name]] = _with_step(found[known[name]], limit, step, fresh=True)
            elif step.canary_events + step.aside_events > 0 and not _in_control(current, step.metric):
                known[name] = len(found)
                begun = CategoryTrack(limit=position, name=name, order=len(known), since=step.stage, components=(0.0,))
                found.append(_with_step(begun, limit, step, fresh=step.aside_events > 0))
    return tuple(found)


def _with_step(track: CategoryTrack, limit: Limit, step: Step, *, fresh: bool) -> CategoryTrack:
    """The events that made a category appear are not evidence; those that follow are."""
    seen = replace(
        track,
        events=track.events + step.canary_events + step.aside_events,
        trials=track.trials + step.canary_trials + step.aside_trials,
    )
    trials = max(step.canary_trials, step.canary_events)
    if not fresh or trials == 0:
        return seen
    gains = proportion.one_sample_steps(step.canary_events, trials, side="greater", bound=limit.amount)
    return replace(seen, components=tuple(float(x) for x in np.array(track.components) + gains))


def _in_control(state: State, metric: str) -> bool:
    return any(total.control_events > 0 for key, total in state.totals.items() if key.partition("|")[2] == metric)


def in_control(state: State, category: str) -> bool:
    """Whether control has shown this error category too, so that it is not new."""
    return _in_control(state, CATEGORY + category)


def _taus(question: Question, look: Look, before: State) -> Mapping[str, float]:
    """A typical harm, twice the limit, frozen when a mean's gate first opens."""
    taus = dict(before.taus)
    for position, limit in enumerate(question.limits):
        if str(position) in taus or CATALOGUE[limit.metric].kind is not Kind.MEAN:
            continue
        for since in question.exposed:
            standing = look.standing(limit.metric, since)
            if standing is None or not gate_is_open(look, limit.metric, since):
                continue
            if limit.absolute:
                taus[str(position)] = 0.2 * limit.amount
            elif limit.scale is not Scale.RELATIVE:
                taus[str(position)] = 2 * limit.amount
            elif standing.control:
                taus[str(position)] = 2 * limit.amount * abs(standing.control)
            break
    return {key: taus[key] for key in sorted(taus, key=int) if taus[key] > 0}


def _last_request(question: Question, look: Look, before: State) -> Mapping[str, datetime]:
    last = dict(before.last_request) if before.stage == question.current else {}
    for step in look.steps:
        if step.stage == question.current and step.metric == REQUESTS:
            if step.canary_trials > 0:
                last[CANARY] = look.at
            if step.control_trials > 0:
                last[CONTROL] = look.at
    return {arm: last[arm] for arm in sorted(last)}
