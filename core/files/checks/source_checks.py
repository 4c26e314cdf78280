"""Checks of the sources in a surface file: what two of them would count, and what no source can."""

from collections.abc import Iterator, Mapping

from core.files.build_plan import build_stages
from core.files.kinds.rollout_file import RolloutFile
from core.files.kinds.surface_file import SurfaceFile
from core.files.syntax.problems import FieldPath, FileProblem
from core.files.syntax.suggest import suggest_nearest
from core.judging.limits.limits import LimitKind
from core.judging.model.evidence import REQUESTS
from core.metrics.catalogue import (
    AVERAGES,
    CATALOGUE,
    COUNTED_AT_INTAKE,
    ERROR_CATEGORIES,
    FEEDS,
    Metric,
    MetricKind,
)
from core.rollout.plans.plan import StageKind
from core.rollout.state.sources import SourceTerms
from core.rollout.state.surface import Surface

_JUDGED = ("eval_pass_rate", "eval_score")


def check(file: SurfaceFile) -> Iterator[FileProblem]:
    """Every problem of the sources: each metric has one source, which is the only one that counts it."""
    own = {terms.name: terms.to_metric() for terms in file.metrics}
    owners: dict[str, str] = {}
    names: set[str] = set()
    for number, source in enumerate(file.sources):
        path: FieldPath = ("sources", number)
        if source.name in names:
            yield file.source.problem_at((*path, "name"), f'there is a source called "{source.name}" already')
        names.add(source.name)
        terms = source.to_terms()
        kind = "sql" if terms.sql else "prometheus" if terms.traces is None else terms.traces.system
        said, instead = ("requests", "leave it out") if terms.prometheus else ("rows", "write readings")
        if terms.counts_requests:
            if REQUESTS in owners:
                message = f"{owners[REQUESTS]} counts the requests already: {instead}"
                yield file.source.problem_at((*path, kind, said), message)
            owners.setdefault(REQUESTS, source.name)
        if terms.counts_errors:
            if ERROR_CATEGORIES in owners:
                message = f"kinds of errors come from {owners[ERROR_CATEGORIES]} already: leave it out"
                yield file.source.problem_at((*path, kind, "error_category"), message)
            owners.setdefault(ERROR_CATEGORIES, source.name)
        for key in terms.keys:
            place = (*path, kind, "rows") if terms.counts_complaints else (*path, kind, "metrics", key)
            if why := _explain_unreadable(key, terms, own) or _explain_uncountable(key, terms, own):
                yield file.source.problem_at(place, why, at_key=True)
                continue
            if file.judging is not None and key in _JUDGED:
                message = f'{key} comes from the judge "{file.judging.judge}": count it in one place only'
                yield file.source.problem_at(place, message, at_key=True)
            if file.soft_errors is not None and key in file.soft_errors.measure:
                message = f"{key} is read off answers (soft_errors.measure): count it in one place only"
                yield file.source.problem_at(place, message, at_key=True)
            for metric in FEEDS.get(key, (key,)):
                if metric in owners:
                    message = f"{metric} comes from {owners[metric]} already: a metric has one source"
                    yield file.source.problem_at(place, message, at_key=not terms.counts_complaints)
                owners.setdefault(metric, source.name)


def check_limits(file: RolloutFile, surface: Surface | None) -> Iterator[FileProblem]:
    """Limits and stages that the counters of the surface cannot tell, and a warning that units are unknown."""
    for source in (surface.sources or ()) if surface is not None else ():
        counters = source.prometheus
        if counters is None:
            continue
        told = False
        for number, terms in enumerate(file.rollback_when):
            if terms.metric not in source.metrics:
                continue
            path: FieldPath = ("rollback_when", number, "metric")
            own = next((one for one in (surface.metrics if surface else None) or () if one.key == terms.metric), None)
            metric = own or CATALOGUE[terms.metric]
            if metric.kind is MetricKind.QUANTILE and terms.kind is not LimitKind.EXCEEDS:
                message = (
                    f"{terms.metric} comes from a histogram of {source.name}, which knows only how many are above its "
                    "bounds: write exceeds, at one of them (`rollout sources check` lists them)"
                )
                yield file.source.problem_at(path, message)
            elif not told:
                told = True
                message = (
                    f"{source.name} does not know whose requests it counts: {counters.requests_per_unit:g} count as "
                    "one, so more are needed, and the split between the versions cannot be checked"
                )
                yield file.source.problem_at(path, message, severity="warning")
        if counters.side != "exposure" and any(stage.kind is StageKind.COHORT for stage in build_stages(file)):
            message = (
                f"with a cohort, the {counters.side} that {source.name} counts by does not tell who is compared: label "
                "its counters with the exposure"
            )
            yield file.source.problem_at(("stages",), message)


def _explain_uncountable(key: str, terms: SourceTerms, own: Mapping[str, Metric]) -> str:
    """Why counters cannot tell a metric; empty if they can, or if the source has rows."""
    if terms.prometheus is None:
        return ""
    counted = terms.prometheus.metrics[key]
    metric = own.get(key) or CATALOGUE[FEEDS.get(key, (key,))[0]]
    if metric.kind is MetricKind.QUANTILE and not counted.histogram:
        return f"{key} needs a histogram: a counter tells only its mean"
    if metric.is_binary and counted.histogram:
        return f"{key} is a share of requests: write a counter and what it is counted of"
    if metric.kind in AVERAGES and metric.cap is not None:
        return f"{key} has a cap, which needs single readings, and counters have only sums: leave the cap out"
    return ""


def _explain_unreadable(key: str, terms: SourceTerms, own: Mapping[str, Metric]) -> str:
    """Why a source cannot count a metric; empty if it can. `own` are the metrics that the file defines."""
    if key not in own and key not in CATALOGUE and key not in FEEDS:
        near = suggest_nearest(key, (*CATALOGUE, *FEEDS, *own))
        return f'unknown metric "{key}".{near or " If it is your own, define it in this file, under metrics"}'
    is_ratio = key in own and own[key].kind is MetricKind.RATIO
    if is_ratio and terms.sql is None:
        return f"{key} is a ratio of two sums, and this source tells one reading: send it, or pull it from a database"
    if is_ratio != (terms.sql is not None and key in (terms.sql.ratios or {})):
        if is_ratio:
            return f"{key} is a ratio: name two columns, as in {key}: {{numerator: solved, denominator: asked}}"
        return f"{key} is no ratio: name one column, as in {key}: duration_ms"
    if key in COUNTED_AT_INTAKE:
        return f"{key} is counted as rows are read: leave it out"
    if key == ERROR_CATEGORIES:
        return f"{key} follows from the kinds of errors: name their column as error_category, beside metrics"
    if key in CATALOGUE and CATALOGUE[key].kind is MetricKind.COUNT and not terms.counts_complaints:
        return (
            f"{key} counts at most once an hour for each person: send each one, or name a database whose rows are the "
            "complaints, as in rows: complaints"
        )
    return ""
