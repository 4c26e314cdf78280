"""The label of a summary row: fine, better, slightly worse, worse, or not enough data."""

from core.judging.engine.accumulate import GATE_REQUESTS
from core.judging.limits.hypothesis import build_harm_hypotheses, is_beyond_limit
from core.judging.limits.limits import Limit, LimitKind, LimitRole
from core.judging.model.confidence_range import Estimate
from core.judging.model.verdict import MeasureLabel
from core.metrics.catalogue import DesiredDirection, Metric


def choose_label(
    limit: Limit,
    entry: Metric,
    estimate: Estimate,
    low: float | None,
    high: float | None,
    *,
    proven: bool,
    implied: bool,
) -> MeasureLabel:
    """Choose the label for an estimate with its range. `proven` means enough evidence of harm for a single limit."""
    beyond = _is_beyond_limit(limit, estimate.canary, estimate.control)
    risen = low is not None and low > 0
    fallen = high is not None and high < 0
    if limit.kind is LimitKind.CHANGES_BY or (implied and entry.good is DesiredDirection.UNCHANGED):
        return _choose_two_sided_label(
            limit, estimate, beyond=beyond and (proven or risen or fallen), judged=beyond and not implied
        )
    harm_is_more = limit.kind is not LimitKind.DROPS_BY if not implied else entry.good is not DesiredDirection.UP
    worse, better = (risen, fallen) if harm_is_more else (fallen, risen)
    harmful = not implied or harm_is_more == (limit.kind is not LimitKind.DROPS_BY)
    if beyond and harmful and (proven or worse):
        return "Worse"
    if estimate.n_canary < GATE_REQUESTS or (beyond and harmful and not implied and limit.role is not LimitRole.WATCH):
        return "Not enough data"
    if implied and entry.good is DesiredDirection.UNKNOWN:
        return "Fine"
    if worse or (proven and harmful and not limit.is_absolute):
        return "Slightly worse, within limit"
    return "Better" if better else "Fine"


def _choose_two_sided_label(limit: Limit, estimate: Estimate, *, beyond: bool, judged: bool) -> MeasureLabel:
    if beyond:
        return "Changed unexpectedly"
    undecided = judged and limit.role is not LimitRole.WATCH
    return "Not enough data" if estimate.n_canary < GATE_REQUESTS or undecided else "Fine"


def _is_beyond_limit(limit: Limit, canary: float | None, control: float | None) -> bool:
    if canary is None:
        return False
    if limit.is_absolute:
        return canary > limit.amount
    return any(is_beyond_limit(limit, hypothesis.side, canary, control) for hypothesis in build_harm_hypotheses(limit))
