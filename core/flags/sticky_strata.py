"""Which audience a unit was in when it was served first: applications send it back, so that a change of plan moves
nobody during a rollout."""

from typing import Literal

from core.flags.snapshot import EarlierCohort, Exposure

STRATUM = "stratum"
"""The attribute of the context in which applications send back `metadata.stratum`."""


def find_stratum(exposure: Exposure, sent: object) -> EarlierCohort | Literal[False] | None:
    """The cohort of the rollout that was sent back; None for the arms of the stage itself, False for anything else.

    It counts like any other attribute: a name of another rollout, or of a cohort that was not let in, changes nothing.
    """
    for one in sent if isinstance(sent, list | tuple) else (sent,):
        if isinstance(one, str) and one in exposure.strata:
            return exposure.strata[one]
    return False
