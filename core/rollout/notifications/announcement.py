"""One message to post or edit: its kind, its rollout, where it goes, and the key under which it is known again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.rollout.notifications.announcement_kinds import AnnouncementKind, Place
from core.rollout.state.model import Rollout

CARD_KEY = "card"
ALERT_KEY = "alert"  # one per rollout, which is rolled back only once
REVIEW_KEY = "review"
NEXT_STEP = "next_step"  # how the key of a reminder of the next step begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One message to post or edit. `key` is where its channel and ts are stored (`Rollout.messages`)."""

    kind: AnnouncementKind
    rollout: str
    channel: str  # as written in the plan: #support
    key: str
    audience: str = "engineering"
    due_at: datetime | None = None  # None: immediately

    def to_json(self) -> dict[str, str | None]:
        """The fields as JSON types, as stored in the outbox."""
        return {
            "kind": self.kind,
            "rollout": self.rollout,
            "channel": self.channel,
            "key": self.key,
            "audience": self.audience,
            "due_at": self.due_at.isoformat() if self.due_at is not None else None,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Announcement":
        """From the fields that `to_json` gave."""
        due = fields.get("due_at")
        return cls(
            kind=AnnouncementKind(fields["kind"]),  # type: ignore[call-arg]  # it looks a kind up and makes none
            rollout=fields["rollout"],
            channel=fields["channel"],
            key=fields["key"],
            audience=fields["audience"],
            due_at=datetime.fromisoformat(due) if due else None,
        )

    def parent_key(self, rollout: Rollout) -> str | None:
        """Key of the message in whose thread it goes; None for a message of its own."""
        match self.kind.delivery.place:
            case Place.CARD_THREAD:
                return CARD_KEY
            case Place.NOTICE_THREAD:
                return notice_key(rollout, f"{self.audience}:{self.channel}")
            case Place.TESTERS:
                return None if self.is_direct else self._find_first_question(rollout)
            case Place.CHANNEL | Place.PERSON | Place.ENGINEERS:
                return None

    @property
    def is_direct(self) -> bool:
        """Whether it goes to one person; `channel` is then their Slack user id."""
        place = self.kind.delivery.place
        return place is Place.PERSON or (place is Place.TESTERS and not self.channel.startswith("#"))

    def _find_first_question(self, rollout: Rollout) -> str | None:
        """The key of the first question in this channel, in whose thread the later ones go; None if this is it."""
        asked = [key for key in rollout.messages if key.startswith("feedback:") and key.endswith(f":{self.channel}")]
        return asked[0] if asked and asked[0] != self.key else None


def notice_key(rollout: Rollout, notice: str) -> str:
    """The message key of a notice. It contains the plan fingerprint, so that a changed plan sends a new notice."""
    return f"notice:{rollout.fingerprint}:{notice}"
