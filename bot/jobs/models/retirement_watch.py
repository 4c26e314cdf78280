"""Reads when providers switch models off, from a file or an address, and warns the features that call them."""

from datetime import datetime
from pathlib import Path

import structlog

from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure, RetryLater
from core.rollout import commands as c
from core.rollout.models.retirements import ModelRetirement, UnreadableRetirements, find_due_warnings, parse_retirements
from core.rollout.state.surface import RetirementTold
from core.service.service import RolloutService

log = structlog.get_logger()


class RetirementWatch:
    """The list named by `ROLLOUT_RETIREMENTS`: a path, or an address that is called through the guarded client.

    A list that cannot be read changes nothing; it is read again at the next call.
    """

    def __init__(self, source: str, client: OutboundClient, service: RolloutService) -> None:
        self._source = source
        self._client = client
        self._service = service

    def warn_due(self, now: datetime) -> None:
        """Give every warning that is due and was not given. Nothing else changes: these are proposals."""
        try:
            retirements = self._read()
        except (UnreadableRetirements, PermanentFailure, RetryLater, OSError, UnicodeDecodeError) as error:
            log.error("the list of model retirements cannot be read", source=self._source, why=str(error))  # noqa: TRY400
            return
        world = self._service.load_world()
        for due in find_due_warnings(world, retirements, world.policy.to_local_time(now).date()):
            one = due.retirement
            told = RetirementTold(model=one.model, on=one.on, replacement=one.replacement, days=due.days)
            command_id = f"retirement:{due.surface}:{one.model}:{one.on.isoformat()}:{due.days}:{due.told}"
            self._service.handle_as_engine(
                c.TellRetirement(surface=due.surface, told=told), command_id=command_id, at=now
            )

    def _read(self) -> tuple[ModelRetirement, ...]:
        if not self._source.startswith(("http://", "https://")):
            return parse_retirements(Path(self._source).read_text(encoding="utf-8"))
        answer = self._client.call("GET", self._source, {"Accept": "application/json", "User-Agent": "rampart"})
        if answer.status != 200:
            raise RetryLater(f"it answers {answer.status}")
        return parse_retirements(answer.body.decode())
