"""A look and the state after it, indexed so that hundreds of criteria and segments can be read quickly."""

from collections.abc import Mapping
from typing import TypeAlias

from core.judging.look.arm_comparison import ArmComparison
from core.judging.look.leave_one_out import robust_log_e
from core.judging.look.look import Look
from core.judging.model.question import Question
from core.judging.model.state import EProcessKind, JudgingState
from core.stats.input_checks import Side

_Key: TypeAlias = tuple[int, Side, EProcessKind, int, str]


class EvidenceIndex:
    """A look and the state after it. The mappings are keyed by (cell, since, segment), (position, side, kind, since,
    segment), and (position, side, since)."""

    def __init__(self, question: Question, look: Look, state: JudgingState) -> None:
        self.question, self.look, self.state = question, look, state
        self.comparisons: Mapping[tuple[str, int, str], ArmComparison] = {
            (one.metric, one.since, one.segment): one for one in look.standings
        }
        self.components: Mapping[_Key, tuple[float, ...]] = {
            (one.limit, one.side, one.part, one.since, one.segment): one.components for one in state.tracks
        }
        self.margin_errors: Mapping[tuple[int, str, int], float] = {
            (one.limit, one.side, one.since): one.error for one in look.margins
        }

    def compute_exact_log_e(
        self, position: int, side: Side, part: EProcessKind, since: int, segment: str, standing: ArmComparison
    ) -> float:
        """The log e-value of an exact e-process, as far as it does not rest on one bucket; 0 before it has begun."""
        components = self.components.get((position, side, part, since, segment))
        if components is None:
            return 0.0
        return robust_log_e(components, standing.design_effect, standing.without_loudest_bucket(side))
