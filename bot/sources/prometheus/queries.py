"""Asks a Prometheus over its HTTP API: for raw samples, the processes that they come from, and bounds."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from bot.sources.errors import SourceFailure
from bot.sources.prometheus.series import Series, Target, TargetHistory
from bot.sources.web_client import WebClient

MAX_SERIES = 20_000
_NO_PROMETHEUS = "it does not answer like a Prometheus: does its address end before /api/v1?"


def build_selector(counter: str, match: Mapping[str, str], bounds: str = "") -> str:
    """The selector of a counter with these labels."""
    asked = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sorted(match.items())]
    asked += [f"le=~{json.dumps(bounds)}"] if bounds else []
    return f"{counter}{{{','.join(asked)}}}"


def read_series(client: WebClient, selectors: Iterable[str], since: float, until: float) -> tuple[Series, ...]:
    """The raw samples of these selectors in [since, until], as they were scraped."""
    found = [one for selector in selectors for one in _read_range(client, selector, since, until)]
    if len(found) > MAX_SERIES:
        raise SourceFailure(f"it has more than {MAX_SERIES:,} series: choose fewer by match", is_lasting=True)
    return tuple(found)


def read_history(client: WebClient, found: Sequence[Series], since: float, until: float) -> TargetHistory:
    """When the processes of these series were scraped, and when they said that they had started."""
    jobs = sorted({one.target[0] for one in found} - {""})
    if not jobs:
        return TargetHistory()
    of = f"{{job=~{json.dumps('|'.join(re.escape(job) for job in jobs))}}}"
    scraped: dict[Target, list[float]] = {}
    for one in _read_range(client, f"up{of}", since, until):
        scraped.setdefault(one.target, []).extend(at for at, value in one.samples if value == 1)
    started = {one.target: one.samples for one in _read_range(client, f"process_start_time_seconds{of}", since, until)}
    return TargetHistory(scraped={target: sorted(times) for target, times in scraped.items()}, started=started)


def list_bounds(client: WebClient, selector: str, at: float) -> Sequence[float]:
    """The bounds of a histogram's buckets, in order."""
    found = _query(client, f"group by (le) ({selector})", at)
    return sorted(parse_number(str(one["metric"].get("le", ""))) for one in found)


def parse_number(text: str) -> float:
    """The number as it is written in a sample or a bound; NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _read_range(client: WebClient, selector: str, since: float, until: float) -> Iterator[Series]:
    for one in _query(client, f"{selector}[{max(int(until - since), 1)}s]", until):
        if "histograms" in one:
            raise SourceFailure(f"{selector} is a native histogram: name one with buckets", is_lasting=True)
        try:
            labels = tuple(sorted((str(name), str(value)) for name, value in one["metric"].items()))
            said = [(float(at), parse_number(value)) for at, value in one["values"]]
        except (AttributeError, KeyError, TypeError, ValueError):
            raise SourceFailure(_NO_PROMETHEUS) from None
        yield Series(labels=labels, samples=[(at, value) for at, value in said if isfinite(value) and value >= 0])


def _query(client: WebClient, query: str, at: float) -> Sequence[Mapping[str, Any]]:
    answer = client.post_form("/api/v1/query", [("query", query), ("time", f"{at:.3f}")])
    data = answer.get("data") if isinstance(answer, dict) else None
    found = data.get("result") if isinstance(data, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise SourceFailure(_NO_PROMETHEUS)
    return found
