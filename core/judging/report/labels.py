"""The label of a summary row: fine, better, slightly worse, worse, or not enough data."""

from core.judging.engine.accumulate import GATE_REQUESTS
from core.judging.model.confidence_range import Seen
from core.judging.model.hypothesis import hypotheses, is_beyond
from core.judging.model.limits import Kind, Limit, Role
from core.judging.model.verdict import Word
from core.metrics.catalogue import Good, Metric


def of(
    limit: Limit, entry: Metric, seen: Seen, low: float | None, high: float | None, *, proven: bool, implied: bool
) -> Word:
    """Choose the label for an estimate with its range. `proven` means enough evidence of harm for a single limit."""
    beyond = _beyond_limit(limit, seen.canary, seen.control)
    risen = low is not None and low > 0
    fallen = high is not None and high < 0
    if limit.kind is Kind.CHANGES_BY or (implied and entry.good is Good.UNCHANGED):
        return _two_sided(limit, seen, beyond=beyond and (proven or risen or fallen), judged=beyond and not implied)
    harm_is_more = limit.kind is not Kind.DROPS_BY if not implied else entry.good is not Good.UP
    worse, better = (risen, fallen) if harm_is_more else (fallen, risen)
    harmful = not implied or harm_is_more == (limit.kind is not Kind.DROPS_BY)
    if beyond and harmful and (proven or worse):
        return "Worse"
    if seen.n_canary < GATE_REQUESTS or (beyond and harmful and not implied and limit.role is not Role.WATCH):
        return "Not enough data"
    if implied and entry.good is Good.UNKNOWN:
        return "Fine"
    if worse or (proven and harmful and not limit.absolute):
        return "Slightly worse, within limit"
    return "Better" if better else "Fine"


def _two_sided(limit: Limit, seen: Seen, *, beyond: bool, judged: bool) -> Word:
    if beyond:
        return "Changed unexpectedly"
    undecided = judged and limit.role is not Role.WATCH
    return "Not enough data" if seen.n_canary < GATE_REQUESTS or undecided else "Fine"


def _beyond_limit(limit: Limit, canary: float | None, control: float | None) -> bool:
    if canary is None:
        return False
    if limit.absolute:
        return canary > limit.amount
    return any(is_beyond(limit, hypothesis.side, canary, control) for hypothesis in hypotheses(limit))
