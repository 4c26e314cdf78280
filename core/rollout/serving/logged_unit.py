"""The alias under which the log knows a unit, so that it holds no customer's id."""

from core.flags import bucketing
from core.rollout.refusal import Refused
from core.rollout.state.model import Rollout


def build_logged_alias(rollout: Rollout, unit: str) -> str:
    """The 64-bit number of a unit in this rollout, as 16 hex digits. Refused for what cannot be the id of a unit."""
    try:
        return f"{bucketing.make_digester('expose', rollout.id)(unit):016x}"
    except UnicodeEncodeError:
        raise Refused("That is not the id of a customer: it holds half of a character.", code="invalid") from None
