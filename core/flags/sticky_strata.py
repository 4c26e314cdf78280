"""Which audience a unit was in when it was served first: applications send it back, so that a change of plan moves
nobody during a rollout."""

from core.flags.snapshot import Exposure

STRATUM = "stratum"
"""The attribute of the context in which applications send back `metadata.stratum`."""


def find_stratum(exposure: Exposure, sent: object) -> str | None:
    """Which of the rollout's strata was sent back; None for anything else.

    A name of another rollout, or of a cohort that was not let in, changes nothing, as with any other attribute.
    """
    for one in sent if isinstance(sent, list | tuple) else (sent,):
        if isinstance(one, str) and one in exposure.strata:
            return one
    return None
