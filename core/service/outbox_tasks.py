"""What rows of the outbox ask for, as values: a message, a driven flag to bring in line, or code to revert."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.rollout.notifications.announcement import Announcement
from core.rollout.notifications.workspace_messages import WorkspaceMessage, WorkspaceMessageKind
from core.store.coordination import outbox
from core.store.coordination.outbox import URGENT_SUFFIX

MESSAGES = "slack"
FLAGS = "flag"
REVERTS = "revert"


def channel_destination(channel: str) -> str:
    """The ordering key of a Slack channel, without a sub-queue."""
    return f"{MESSAGES}:{channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTask:
    """Post or edit a message; it is rendered from the state at the time of sending. `position` is that of its event."""

    announcement: Announcement
    position: int

    @classmethod
    def parse(cls, request: Mapping[str, Any]) -> "MessageTask":
        """From the JSON of an outbox row."""
        return cls(announcement=Announcement.from_json(request["announcement"]), position=request["position"])

    @property
    def channel(self) -> str:
        """The channel, or the person, that it goes to."""
        return self.announcement.channel

    @property
    def destination(self) -> str:
        """The ordering key of the channel, without a sub-queue."""
        return channel_destination(self.channel)

    def build_row(self, now: datetime, *, idempotency_key: str = "") -> tuple[Any, ...]:
        """The outbox row. Without an `idempotency_key` of its own, there is one row per event and message."""
        told = self.announcement
        is_later = told.due_at is not None and told.due_at > now
        # A message that is due later must not delay those after it in its channel.
        sub_queue = f":{told.key}" if is_later else URGENT_SUFFIX if told.kind.delivery.is_urgent else ""
        return outbox.build_row(
            kind=MESSAGES,
            ordering_key=f"{self.destination}{sub_queue}",
            idempotency_key=idempotency_key or f"{told.kind}:{told.rollout}:{self.position}:{told.key}",
            request={"announcement": told.to_json(), "position": self.position},
            due_at=told.due_at if is_later and told.due_at else now,
            position=self.position,
            supersede_key=f"{told.kind}:{told.rollout}:{told.key}" if told.kind.delivery.is_superseding else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceMessageTask:
    """Post a message of the workspace. `position` is that of the newest event when it was queued."""

    message: WorkspaceMessage
    position: int

    @property
    def channel(self) -> str:
        """The channel that it goes to."""
        return self.message.channel

    def build_row(self, now: datetime) -> tuple[Any, ...]:
        """The outbox row; of several workers that queue the same message, one adds it."""
        return outbox.build_row(
            kind=MESSAGES,
            ordering_key=channel_destination(self.channel),
            idempotency_key=self.message.key,
            request={"workspace": self.message.to_json(), "position": self.position},
            due_at=now,
            position=self.position,
            supersede_key=None,
        )


def parse_message_task(request: Mapping[str, Any]) -> MessageTask | WorkspaceMessageTask:
    """What a row of kind `MESSAGES` asks for. Rows of older programs hold the day's witness as one of a rollout."""
    if (fields := request.get("workspace")) is not None:
        message = WorkspaceMessage(
            kind=WorkspaceMessageKind(fields["kind"]), channel=fields["channel"], subject=fields["subject"]
        )
        return WorkspaceMessageTask(message=message, position=request["position"])
    told = request["announcement"]
    if told["kind"] == WorkspaceMessageKind.DAILY_WITNESS:
        day = told["key"].partition(":")[2]
        message = WorkspaceMessage(kind=WorkspaceMessageKind.DAILY_WITNESS, channel=told["channel"], subject=day)
        return WorkspaceMessageTask(message=message, position=request["position"])
    return MessageTask.parse(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagTask:
    """Bring one driven flag of a rollout to what is decided by the time of sending: the row holds no percentage.

    `number` is its place in the plan. Each has a lane of its own, so that none waits for another one.
    """

    rollout: str
    number: int = 0
    is_check: bool = False  # nothing was decided: the flag may have been changed by hand
    is_recheck: bool = False  # a worker may have undone a newer write after it lost its lease

    @classmethod
    def parse(cls, request: Mapping[str, Any]) -> "FlagTask":
        """From the JSON of an outbox row."""
        return cls(
            rollout=request["rollout"],
            number=int(request.get("number", 0)),
            is_check=bool(request.get("look")),
            is_recheck=bool(request.get("again")),
        )

    @property
    def destination(self) -> str:
        """The ordering key of the flag, without a sub-queue."""
        return f"{FLAGS}:{self.rollout}{f'#{self.number}' if self.number else ''}"

    def build_row(
        self, now: datetime, position: int, *, idempotency_key: str = "", is_urgent: bool = False
    ) -> tuple[Any, ...]:
        """The outbox row for the event at `position`. An urgent one never waits for the retry of an earlier step."""
        queue = f"{self.destination}{URGENT_SUFFIX if is_urgent else ''}"
        return outbox.build_row(
            kind=FLAGS,
            ordering_key=queue,
            idempotency_key=idempotency_key or f"{self.destination}:{position}",
            request=self._build_request(),
            due_at=now,
            position=position,
            supersede_key=None if self.is_check or self.is_recheck else queue,
        )

    def build_late_row(self, due_at: datetime, position: int, idempotency_key: str) -> tuple[Any, ...]:
        """The row of a check that is due only later, and delays nothing meanwhile."""
        return outbox.build_row(
            kind=FLAGS,
            ordering_key=f"{self.destination}:late:{due_at.isoformat()}{URGENT_SUFFIX}",
            idempotency_key=idempotency_key,
            request={**self._build_request(), "due_at": due_at.isoformat()},  # an appointed time, which it keeps
            due_at=due_at,
            position=position,
        )

    def _build_request(self) -> dict[str, Any]:
        """The JSON that `parse` reads."""
        marks = {**({"look": True} if self.is_check else {}), **({"again": True} if self.is_recheck else {})}
        return {"rollout": self.rollout, **({"number": self.number} if self.number else {}), **marks}


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertTask:
    """Ask a system to revert the code of a rollout that was rolled back; `index` is that of the plan's revert."""

    rollout: str
    index: int

    @classmethod
    def parse(cls, request: Mapping[str, Any]) -> "RevertTask":
        """From the JSON of an outbox row."""
        return cls(rollout=request["rollout"], index=int(request["index"]))

    def build_row(self, now: datetime, position: int) -> tuple[Any, ...]:
        """The outbox row for the rollback at `position`."""
        lane = f"{REVERTS}:{self.rollout}:{self.index}"
        return outbox.build_row(
            kind=REVERTS,
            ordering_key=lane,
            idempotency_key=f"{lane}:{position}",
            request={"rollout": self.rollout, "index": self.index},
            due_at=now,
            position=position,
            supersede_key=None,
        )
