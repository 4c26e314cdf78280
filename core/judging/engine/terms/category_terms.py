"""The terms of a limit on new error categories, one for each category that control has not shown."""

from collections.abc import Iterator
from math import log

from core.judging.engine.accumulate import categories_in_control
from core.judging.engine.terms.mixture_term import MixtureTerm
from core.judging.look.leave_one_out import LeaveOneOut, robust_log_e
from core.judging.look.look import CategorySpread, Look
from core.judging.model.alpha_shares import infinite_series_share
from core.judging.model.confidence_range import Estimate
from core.judging.model.evidence import CATEGORY_PREFIX, REQUESTS
from core.judging.model.question import Question
from core.judging.model.state import JudgingState
from core.stats.heaviest_bucket import kl_divergence


def build_category_terms(question: Question, look: Look, state: JudgingState, position: int) -> Iterator[MixtureTerm]:
    """A term for each category that only the canary has shown, and is followed since; it is beyond the limit only if
    it is so without its loudest bucket."""
    limit, old = question.limits[position], categories_in_control(state)
    shown = {one.name: one for one in look.categories}
    for track in state.categories:
        if track.limit != position or CATEGORY_PREFIX + track.name in old or track.trials == 0:
            continue
        rate = track.events / track.trials
        control = sum(total.control_trials for key, total in state.totals.items() if key.partition("|")[2] == REQUESTS)
        spread = shown.get(track.name, CategorySpread(name=track.name))
        others = max(track.events - spread.loudest, 0.0)
        whole = track.trials * float(kl_divergence(min(rate, 1.0), limit.amount))
        rest = track.trials * float(kl_divergence(min(others / track.trials, 1.0), limit.amount))
        part = rest / whole if others / track.trials > limit.amount and whole > 0 else 0.0
        yield MixtureTerm(
            log_weight=log(infinite_series_share(track.order)),
            log_e=robust_log_e(
                track.components, spread.design_effect, LeaveOneOut(level_design_effect=spread.left_design_effect), part
            ),
            is_beyond_limit=others / track.trials > limit.amount and track.events >= (limit.min_events or 0),
            estimate=Estimate(
                canary=rate,
                control=0.0,
                error=None,
                n_canary=track.trials,
                n_control=control,
                note=f"{track.name}: {track.events:.0f} on the new version, none on the current one",
            ),
        )
