"""Erases a person's text by deleting their sealing key; the log itself stays."""

from datetime import datetime
from uuid import uuid4

from sqlalchemy import select

from core.rollout.context import is_same_person
from core.rollout.state.events import PEOPLE_STREAM, NewEvent, WordsErased
from core.store.database.connections import Database
from core.store.log.answered_commands import CommandAnswer
from core.store.log.event_log import EventOrigin
from core.store.models import person_key
from core.store.transaction import append_transaction
from core.store.world import checkpoints
from core.store.world.world_cache import WorldCache


def erase_words(
    database: Database, world_cache: WorldCache, person: str, *, by: str, at: datetime, recorded_at: datetime
) -> bool:
    """Make everything this person wrote unreadable, under all their ids: it reads "(erased)" from now on.

    False if nothing of theirs is sealed. The log and its hash chain stay unchanged. Messages in Slack and older backups
    are not affected.
    """
    with database.reading() as connection:
        known = connection.execute(select(person_key.c.person)).scalars().all()
    theirs = [one for one in known if is_same_person(one, person)]
    erased = [_erase_one(database, world_cache, one, by=by, at=at, recorded_at=recorded_at) for one in theirs]
    return any(erased)


def _erase_one(
    database: Database, world_cache: WorldCache, person: str, *, by: str, at: datetime, recorded_at: datetime
) -> bool:
    command_id = f"erase:{uuid4().hex}"
    with append_transaction(database, world_cache, command_id, person=person) as log:
        if log.key_id is None:
            return False
        origin = EventOrigin(command_id=command_id, actor=by, at=at, recorded_at=recorded_at)
        erased = WordsErased(key_id=log.key_id, by=by)
        steps = log.append([NewEvent(stream=PEOPLE_STREAM, event=erased)], origin)
        position = steps[0].stored.position
        answer = CommandAnswer(first_position=position, last_position=position, result_json="{}", at=at)
        log.store_answer(command_id, "erase", answer)
        log.writes.erase_key(log.key_id)
    with database.writing_outside_log() as connection:
        checkpoints.delete_stale(connection)  # a checkpoint holds text unencrypted
    return True
