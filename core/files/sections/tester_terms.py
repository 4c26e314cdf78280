"""The `testers` section of a rollout or surface file: who opted in to say how a new version is."""

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field, model_validator

from core.files.syntax.fields import Channel, PersonReference, StrictModel, field_error
from core.flags.evaluation import MAX_UNIT_LENGTH
from core.rollout.plans.plan import Tester


class TesterTerms(StrictModel):
    """A person, with the id by which applications know them, or a channel."""

    person: PersonReference = ""
    channel: Channel = ""
    unit: Annotated[str, Field(max_length=MAX_UNIT_LENGTH, pattern=r"^[^\x00]*$")] = ""

    @model_validator(mode="after")
    def _check_one(self) -> "TesterTerms":
        if bool(self.person) == bool(self.channel):
            raise field_error("", 'name one person (person: "@mia") or one channel (channel: "#beta-testers")')
        if self.unit and not self.person:
            raise field_error("unit", "only a person has a unit: a channel has many people")
        return self

    def to_tester(self) -> Tester:
        """The tester as written, before the person is looked up."""
        return Tester(person=self.person, handle=self.person, channel=self.channel, unit=self.unit)


Testers = Annotated[tuple[TesterTerms, ...], Field(max_length=50)]


def build_testers(written: Sequence[Tester] | None, resolve_handle: Callable[[str], str]) -> tuple[Tester, ...] | None:
    """The testers with their people looked up, each once; None if there are none."""
    found: dict[str, Tester] = {}
    for one in written or ():
        person = resolve_handle(one.handle) if one.handle else ""
        tester = Tester(person=person, handle=one.handle, channel=one.channel, unit=one.unit)
        found.setdefault(tester.target, tester)
    return tuple(found.values()) or None
