"""Metrics that a file defines itself: every mistake in a definition points at its line, and limits may use them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.files.checks import check_files
from core.files.foresight import detection, known_traffic
from core.files.kinds.surface_file import SurfaceFile, surface_from_file
from core.files.read_file import parse_file
from core.files.syntax.problems import UnreadableFile, render_text
from core.files.write_file import export_plan
from core.judging.limits.limits import LimitRole, LimitScale
from core.metrics.catalogue import MarginScale, MetricKind
from core.metrics.own_metrics import OwnMetrics
from core.rollout.plans.plan import Plan
from core.rollout.plans.policy import DEFAULT_POLICY
from core.rollout.state.surface import Surface, evolve

RATE = "{name: resolution_rate, kind: rate, direction: up, title: Solved without a person, usual: 62%}"
MEAN = "{name: answer_words, kind: mean, unit: words, direction: same, usual: 120, cap: 800}"
RATIO = "{name: cited_claims, kind: ratio, unit: per claim, direction: up}"
QUANTILE = "{name: lookup_wait, kind: quantile, quantile: 90%, unit: ms, direction: down, usual: 1500ms}"


@pytest.fixture
def define(files: Callable[[str], str]) -> Callable[..., str]:
    """The surface file with these definitions."""
    return lambda *metrics: (
        files("surface.yaml").rstrip() + "\nmetrics:\n" + "".join(f"  - {metric}\n" for metric in metrics)
    )


@pytest.fixture
def surface_with(define: Callable[..., str]) -> Callable[..., Surface]:
    def build(*metrics: str) -> Surface:
        file = parse_file(define(*metrics), "surface.yaml")
        assert isinstance(file, SurfaceFile)
        return evolve(None, surface_from_file(file))

    return build


def _own(surface: Surface) -> OwnMetrics:
    return OwnMetrics(by_surface={surface.name: surface.metrics or ()})


def _plan(text: str, surface: Surface) -> Plan:
    from core.files import build_plan
    from core.files.kinds.rollout_file import RolloutFile

    file = parse_file(text, "rollout.yaml", own_metrics=_own(surface))
    assert isinstance(file, RolloutFile)
    return build_plan.build(file, surface, DEFAULT_POLICY, resolve_handle=lambda handle: handle)


def _limits(*limits: str) -> tuple[str, str]:
    """An edit of the small file that adds these limits."""
    return "rollback_when:\n", "rollback_when:\n" + "".join(f"  - {limit}\n" for limit in limits)


def test_a_definition_becomes_a_metric_of_the_surface(surface_with: Callable[..., Surface]) -> None:
    found = {metric.key: metric for metric in surface_with(RATE, MEAN, RATIO, QUANTILE).metrics or ()}
    assert [metric.kind for metric in found.values()] == [
        MetricKind.PROPORTION,
        MetricKind.MEAN,
        MetricKind.RATIO,
        MetricKind.QUANTILE,
    ]
    rate, mean, _, quantile = found.values()
    assert (rate.title, rate.unit, rate.usual, rate.default_margin, rate.margin_scale) == (
        "Solved without a person",
        "%",
        0.62,
        0.02,
        MarginScale.POINTS,
    )
    assert (mean.title, mean.usual, mean.cap) == ("Answer words", 120, 800)
    assert (quantile.quantile, quantile.usual) == (0.9, 1500)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("{name: refusal_rate, kind: rate, direction: up}", "refusal_rate is a metric of Rampart's own"),
        ("{name: latency_ms, kind: mean, unit: ms, direction: up}", "latency_ms is a metric of Rampart's own"),
        ("{name: user_vote, kind: rate, direction: up}", "user_vote is a metric of Rampart's own"),
        ("{name: requests, kind: rate, direction: up}", "requests is a metric of Rampart's own"),
        ("{name: res\u043elution, kind: rate, direction: up}", "holds cyrillic small letter o: a name has"),
        ("{name: Resolution, kind: rate, direction: up}", "holds latin capital letter r"),
        ("{name: a>b, kind: rate, direction: up}", "holds greater-than sign"),
        ("{name: a/denominator, kind: rate, direction: up}", "holds solidus"),
        ('{name: "9lives", kind: rate, direction: up}', '"9lives" is not a name: 2 to 60 lower-case letters'),
        (f"{{name: {'a' * 61}, kind: rate, direction: up}}", "is not a name: 2 to 60"),
        ("{name: solved, kind: share, direction: up}", "Input should be 'rate', 'mean', 'quantile' or 'ratio'"),
        ("{name: solved, kind: rate, direction: better}", "Input should be 'up', 'down' or 'same'"),
        ("{name: solved, kind: rate, unit: words, direction: up}", "a rate is in %: leave the unit out"),
        ("{name: words, kind: mean, direction: up}", "a mean needs a unit, such as unit: words"),
        ('{name: words, kind: mean, unit: "%", direction: up}', '"%" is not a unit'),
        ("{name: wait, kind: quantile, unit: ms, direction: up}", "a quantile says which one, such as quantile: 95%"),
        ("{name: wait, kind: mean, quantile: 95%, unit: ms, direction: up}", "a mean has no quantile"),
        ("{name: wait, kind: quantile, quantile: 0%, unit: ms, direction: up}", "lies between 0 % and 100 %"),
        ("{name: solved, kind: rate, direction: up, cap: 50%}", "only the readings of a mean are capped"),
        ("{name: solved, kind: rate, direction: up, usual: 0.62}", "0.62 what? write 62%"),
        ("{name: wait, kind: mean, unit: ms, direction: up, usual: 62%}", "wait is in milliseconds, such as 4000ms"),
        ("{name: words, kind: mean, unit: words, direction: up, cap: 0}", "a cap lies above 0"),
        ("{name: solved, kind: rate, direction: up, colour: red}", 'unknown field "colour"'),
    ],
)
def test_a_wrong_definition_points_at_its_line(
    define: Callable[..., str], refused: Callable[..., str], metric: str, said: str
) -> None:
    text = define(RATE, metric)
    line = len(text.splitlines())
    answer = refused(text)
    assert said in answer
    assert f":{line}:" in answer


def test_a_name_that_is_defined_twice_names_both_lines(define: Callable[..., str]) -> None:
    text = define(RATE, MEAN, RATE)
    file = parse_file(text, "bad.yaml")
    said = render_text(check_files.check(file, None, DEFAULT_POLICY, None))
    last = len(text.splitlines())
    assert (
        f"bad.yaml:{last}:12: metrics.2.name: resolution_rate is defined twice; the first is on line {last - 2}" in said
    )


def test_there_are_fifty_at_most(define: Callable[..., str], refused: Callable[..., str]) -> None:
    many = [RATE.replace("resolution_rate", f"metric_{number}") for number in range(200)]
    assert "200 metrics are too many: 50 at most" in refused(define(*many))
    parse_file(define(*many[:50]), "surface.yaml")


@pytest.mark.parametrize(
    ("limit", "amount", "scale"),
    [
        ("{metric: resolution_rate, drops_by: 2pp}", 0.02, LimitScale.POINTS),
        ("{metric: resolution_rate, exceeds: 90%}", 0.9, LimitScale.ABSOLUTE),
        ("{metric: answer_words, changes_by: 10%}", 0.1, LimitScale.RELATIVE),
        ("{metric: answer_words, exceeds: 400}", 400, LimitScale.ABSOLUTE),
        ("{metric: lookup_wait, exceeds: 4s}", 4000, LimitScale.ABSOLUTE),
        ("{metric: cited_claims, drops_by: 5%}", 0.05, LimitScale.RELATIVE),
    ],
)
def test_limits_take_the_units_that_suit_the_kind(
    surface_with: Callable[..., Surface], small: Callable[..., str], limit: str, amount: float, scale: LimitScale
) -> None:
    surface = surface_with(RATE, MEAN, RATIO, QUANTILE)
    found = _plan(small(_limits(limit)), surface).limits[0]
    assert (found.amount, found.scale, found.role) == (amount, scale, LimitRole.ROLLBACK)
    assert found.definition == next(one for one in surface.metrics or () if one.key == found.metric)


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("{metric: answer_words, drops_by: 2pp}", '"answer_words" has no percentage points: write 2% (relative)'),
        ("{metric: resolution_rate, drops_by: 2}", "2 what? write 2pp (points) or 2% (relative)"),
        ("{metric: lookup_wait, exceeds: 4}", "4 what? lookup_wait is in milliseconds, such as 4000ms"),
        ("{metric: resolution_rat, drops_by: 2pp}", 'unknown metric "resolution_rat" Did you mean "resolution_rate"?'),
        ("{metric: tone_score, drops_by: 2%}", '"tone_score" is a metric of search, not of support-assistant'),
    ],
)
def test_a_limit_on_an_own_metric_that_does_not_suit_it_points_at_its_line(
    surface_with: Callable[..., Surface], small: Callable[..., str], limit: str, said: str
) -> None:
    surface = surface_with(RATE, MEAN, RATIO, QUANTILE)
    other = surface_with("{name: tone_score, kind: mean, unit: points, direction: up}").metrics or ()
    own = OwnMetrics(by_surface={surface.name: surface.metrics or (), "search": other})
    with pytest.raises(UnreadableFile) as refusal:
        parse_file(small(_limits(limit)), "bad.yaml", own_metrics=own)
    assert said in str(refusal.value)


def test_a_file_that_is_checked_alone_asks_for_its_surface(
    small: Callable[..., str], refused: Callable[..., str]
) -> None:
    assert "check the surface file" in refused(small(_limits("{metric: resolution_rate, drops_by: 2%}")))
    said = refused(small(_limits("{metric: words_of_the_answer, drops_by: 2%}")))
    assert (
        'unknown metric "words_of_the_answer": if it is the surface\'s own, check the surface file along with' in said
    )


def test_the_plan_holds_the_definitions_and_its_export_reads_back(
    surface_with: Callable[..., Surface], small: Callable[..., str]
) -> None:
    surface = surface_with(RATE, MEAN)
    plan = _plan(small(_limits("{metric: resolution_rate, drops_by: 2pp}")), surface)
    assert plan.metrics == surface.metrics
    assert _plan(export_plan(plan), surface) == plan
    other = replace(surface, metrics=tuple(replace(one, title="Other") for one in surface.metrics or ()))
    assert _plan(export_plan(plan), other).fingerprint() != plan.fingerprint()


def test_a_plan_without_own_metrics_has_the_fingerprint_that_it_always_had(
    surface: Surface, small: Callable[..., str]
) -> None:
    plan = _plan(small(), surface)
    assert plan.metrics is None
    assert "definition" not in str([limit for limit in plan.limits if limit.definition is not None])
    assert plan.fingerprint() == replace(plan, metrics=None).fingerprint()


def test_what_could_be_noticed_is_told_from_the_usual_level(
    surface_with: Callable[..., Surface], small: Callable[..., str]
) -> None:
    """A rate near the edge moves less by chance than one in the middle, so its drop is noticed earlier."""

    def noticed(usual: str) -> Any:
        surface = surface_with(RATE.replace("62%", usual))
        plan = _plan(small(_limits("{metric: resolution_rate, drops_by: 2pp}")), surface)
        design = detection.design_from_plan(plan)
        known = known_traffic.assume_traffic(surface)
        return detection.foresee_limits(design, design.compared_stages[0], known)[0].noticed

    assert noticed("95%") < noticed("62%")
