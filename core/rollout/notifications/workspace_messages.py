"""Messages that concern the whole workspace and no single rollout: the log witness of a day, the digest of a week."""

from dataclasses import dataclass
from enum import StrEnum


class WorkspaceMessageKind(StrEnum):
    DAILY_WITNESS = "daily_witness"  # position and hash of the newest event, on days on which the log has grown
    DIGEST = "digest"  # the last week in numbers, to the engineering channel
    DIGEST_LINE = "digest_line"  # the same in one line, to the leadership channel


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceMessage:
    """One message to post. `subject` is the day or the week it is about: `2026-11-23`, `2026-W48`.

    There is one message per kind and subject, however many workers ask for it.
    """

    kind: WorkspaceMessageKind
    channel: str  # as written in the policy or a plan: #ai-rollouts
    subject: str

    @property
    def key(self) -> str:
        """What identifies the message, as in `digest:2026-W48`."""
        return f"{self.kind}:{self.subject}"

    def to_json(self) -> dict[str, str]:
        """The fields as JSON types, as stored in the outbox."""
        return {"kind": self.kind, "channel": self.channel, "subject": self.subject}
