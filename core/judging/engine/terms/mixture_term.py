"""One e-process of a criterion as a term of its mixture."""

from dataclasses import dataclass

from core.judging.model.confidence_range import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureTerm:
    """One e-process of a criterion. `log_weight` is the log of its share of the criterion's weight.

    `is_beyond_limit` says whether its `estimate` lies beyond the limit.
    """

    log_weight: float
    log_e: float
    is_beyond_limit: bool
    estimate: Estimate
