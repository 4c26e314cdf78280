"""Checks of the sources in a surface file: what two of them would count, and what no source can."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from core.files.surface_file import SurfaceFile
from core.files.syntax.problems import FieldPath, FileProblem
from core.judging.model.evidence import REQUESTS
from core.metrics.catalogue import CATALOGUE, COUNTED_AT_INTAKE, FEEDS, Metric, MetricKind

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
        if source.sql.rows == "requests":
            if REQUESTS in owners:
                message = f"{owners[REQUESTS]} counts the requests already: write readings"
                yield file.source.problem_at((*path, "sql", "rows"), message)
            owners.setdefault(REQUESTS, source.name)
        for key in source.sql.metrics:
            place = (*path, "sql", "metrics", key)
            if why := _explain_unreadable(key, own):
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
                    yield file.source.problem_at(place, message, at_key=True)
                owners.setdefault(metric, source.name)


def _explain_unreadable(key: str, own: Mapping[str, Metric]) -> str:
    """Why no source can count a metric; empty if it can. `own` are the metrics that the file defines."""
    if key not in own and key not in CATALOGUE and key not in FEEDS:
        near = get_close_matches(key, (*CATALOGUE, *FEEDS, *own), n=1)
        meant = f'Did you mean "{near[0]}"?' if near else "If it is your own, define it in this file, under metrics"
        return f'unknown metric "{key}". {meant}'
    if key in own and own[key].kind is MetricKind.RATIO:
        return f"{key} is a ratio of two sums, and a column holds one reading: send it, or pull it as a rate or a mean"
    if key in COUNTED_AT_INTAKE:
        return f"{key} is counted as rows are read: leave it out"
    if key in CATALOGUE and CATALOGUE[key].kind is MetricKind.COUNT:
        return f"{key} counts at most once an hour for each person, which only reports that are sent can: leave it out"
    return ""
