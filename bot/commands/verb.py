"""What a verb is: its form, its flags and free text, its help, and the command that it builds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from core.rollout import commands as c
from core.rollout.permissions import command_rights


class FreeTextForm(Enum):
    """The free text that a verb takes when it is typed."""

    NONE = "none"
    QUOTED = "quoted"
    REST = "the rest of the line, quoted or not"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbArguments:
    """The arguments of a verb besides its rollout, whether typed, pressed or sent."""

    reason: str = ""
    to_percent: float | None = None
    then: datetime | None = None
    queue: bool = False
    request: str = ""  # id of the approval request
    choice: str = ""  # of a long comparison: `keep` or `back`; of a rollback: its cause
    notice: str = ""  # key of the notice, as in `support:#support`
    unit: str = ""  # id of a customer, as applications send it
    message: str = ""  # a message in Slack, as channel/ts
    answers: Mapping[str, str] = field(default_factory=dict)  # of a review: field of `SubmitReview` -> text
    keeps_baseline: bool = True
    stratum: str = ""  # of a rollback: the only audience that goes back
    next_step: bool = False  # of a reminder: as soon as it grows, stops or waits
    stage: int | None = None  # index of the stage that a vote is about


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One verb. Without `build` it only reads; without `usage` it can be pressed or sent, but not typed."""

    does: str
    usage: str = ""
    brief: str = ""  # its line in the overview of the help, if not the usual one
    example: str = ""
    group: str = ""  # its group in the overview of the help
    aliases: tuple[str, ...] = ()
    text: FreeTextForm = FreeTextForm.NONE
    flags: Mapping[str, bool] = field(default_factory=dict)  # name -> whether a value follows
    build: Callable[[VerbArguments], c.PersonCommand] | None = None
    needs_fresh_rights: bool = False  # read the rights of the person from Slack again, not from the cache
    is_urgent: bool = False  # works without settings that it does not need
    has_json: bool = False  # the command line can print it for machines
    role: str = ""  # the role that a verb without `build` requires

    @property
    def required_role(self) -> str:
        """The role that the verb requires; empty if every full member may use it."""
        return command_rights.required_role(self.build(VerbArguments())) if self.build is not None else self.role

    @property
    def overview_line(self) -> str:
        """Its line in the overview of the help: its form, unless that has flags or free text; then its name alone."""
        if self.brief:
            return self.brief
        return self.usage if not self.flags and self.text is FreeTextForm.NONE else self.usage.split()[0]
