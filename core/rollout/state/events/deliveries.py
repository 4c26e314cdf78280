"""What came of messages in Slack and of flags in other systems."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePosted:
    """A message reached Slack. `channel` and `ts` locate it for edits and threads; `key` is the announcement's key."""

    TYPE: ClassVar[str] = "rollout.message_posted"
    key: str
    channel: str
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFailed:
    """A message could not be delivered and will not be retried."""

    TYPE: ClassVar[str] = "rollout.message_failed"
    key: str
    channel: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagSet:
    """The external flag system was read back at the decided percentage, `seconds` (real time) after the decision."""

    TYPE: ClassVar[str] = "rollout.flag_set"
    flag: str
    percent: float
    before: float  # the percentage at the first reading
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagNotSet:
    """The external flag system could not be set to `percent`. `trying`: it is being retried automatically."""

    TYPE: ClassVar[str] = "rollout.flag_not_set"
    flag: str
    percent: float
    error: str
    trying: bool


DeliveryEvent: TypeAlias = MessagePosted | MessageFailed | FlagSet | FlagNotSet
