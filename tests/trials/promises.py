"""What holds of every log, whatever happened: the invariants, each checked from the outside."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select

from bot.rendering.messages import card
from bot.rendering.sentences import headline
from core.rollout.concurrency.neighbours import Neighbours
from core.rollout.notifications import rollout_announcements
from core.rollout.notifications.announcement import CARD_KEY
from core.rollout.serving import exposure
from core.rollout.serving.after_done import find_after_done
from core.rollout.state import events
from core.rollout.state.model import UNDER_WAY_STATES, Rollout, RolloutState
from core.rollout.state.world import World, fold_events
from core.service.service import RolloutService
from core.store.audit.verify import verify
from core.store.database.connections import Database
from core.store.log import event_log
from core.store.log.event_log import StoredEvent
from core.store.models import outbox
from tests.served import evaluate
from tests.trials.slack_in_process import Slack

PEOPLE = tuple(f"user-{number}" for number in range(60))


def whole_log(database: Database) -> tuple[StoredEvent, ...]:
    with database.reading() as connection:
        return event_log.read_after(connection, 0, 1_000_000)


def the_log_is_sound(database: Database) -> None:
    """No gap in positions (I2) or versions (I3), the chain holds (I4), read models are the fold (I6)."""
    log = whole_log(database)
    assert [r.position for r in log] == list(range(1, len(log) + 1))
    versions: Counter[str] = Counter()
    for one in log:
        versions[one.stream] += 1
        assert one.version == versions[one.stream]
    assert [r.recorded_at for r in log] == sorted(r.recorded_at for r in log)
    assert Counter((r.command_id, r.command_seq) for r in log).most_common(1)[:1] in ([], [((log[0].command_id, 1), 1)])
    with database.reading() as connection:
        assert verify(connection).problems == ()


def memory_is_the_log(database: Database, services: Iterable[RolloutService]) -> None:
    """Whoever has followed the log for long knows what one who reads it from the start knows (I6)."""
    anew = RolloutService(database).load_world()
    for service in services:
        assert service.load_world() == anew


def every_effect_has_its_event(database: Database) -> None:
    """Every outbox row follows from its event, and every announcement has its row or one that says as much (I7)."""
    with database.reading() as connection:
        rows = connection.execute(select(outbox).order_by(outbox.c.id)).all()
    known, replaceable = {row.idempotency_key for row in rows}, {row.supersede_key for row in rows}
    expected = set()
    for key, supersede_key in _announced(whole_log(database)):
        expected.add(key)
        assert key in known or supersede_key in replaceable, f"nothing tells {key}"
    assert {key for key in known if not key.startswith("refresh:")} <= expected


def _announced(log: Iterable[StoredEvent]) -> Iterable[tuple[str, str]]:
    world = World()
    for one in log:
        kind, _, name = one.stream.partition(":")
        before = world.rollouts.get(name)
        world = fold_events(world, [(one.stream, one.event, one.at, one.position)])
        if kind == "rollout":
            assert isinstance(one.event, events.RolloutEvent)
            for told in rollout_announcements.announce(one.event, one.position, before, world.rollouts[name]):
                own = f"{told.kind}:{name}:{one.position}:{told.key}"
                yield own, f"{told.kind}:{name}:{told.key}" if told.kind.delivery.is_superseding else "never"


def said_in_order_and_once(database: Database, slack: Slack) -> None:
    """Per ordering key Slack shows things in the order of their rows (I7), and none of them twice (I9)."""
    with database.reading() as connection:
        lanes = {row.id: row.ordering_key for row in connection.execute(select(outbox.c.id, outbox.c.ordering_key))}
    said = [m.metadata["event_payload"]["outbox"] for m in slack.posted() if _is_ours(m.metadata)]
    assert [row for row, times in Counter(said).items() if times > 1] == []
    for lane in set(lanes.values()):
        rows = [row for row in said if lanes[row] == lane]
        assert rows == sorted(rows), lane
    assert slack.side.violations == []


def _is_ours(metadata: Mapping[str, Any] | None) -> bool:
    return metadata is not None and metadata["event_type"] == "rampart"


def the_card_is_true(database: Database, world: World, slack: Slack) -> None:
    """With nothing left to be sent, the card says what the rollout is, unless Slack will not take its newest form."""
    with database.reading() as connection:
        cards = select(outbox).where(outbox.c.supersede_key.startswith("card:")).order_by(outbox.c.id)
        newest = {row.supersede_key: row.state for row in connection.execute(cards)}
    for rollout in world.rollouts.values():
        posted = rollout.messages.get(CARD_KEY)
        if posted is not None and newest[f"card:{rollout.id}:{CARD_KEY}"] == "done":
            shown = slack.shown(posted.channel, posted.ts)
            zone, over = world.policy.timezone, headline.min_hold_ends_at(rollout)  # it may have been sent after that
            others = Neighbours(after=find_after_done(world, rollout, posted.at))
            true = {card.render(rollout, zone, neighbours=others, at=at).text for at in (None, over)}
            assert shown.text in true, f"the card of {rollout.id} is old"


def traffic_follows_the_log(world: World) -> None:
    """Nobody gets a new version that is not under way (I8), and a paused clock belongs to a paused rollout."""
    snapshot = exposure.build_snapshot(world)
    for surface in world.surfaces.values():
        running = [r for r in world.rollouts.values() if r.plan.surface == surface.name and r.state in UNDER_WAY_STATES]
        assert len(running) <= 1
        allowed = {surface.live, *(r.plan.to_version for r in running)}
        got = {evaluate(snapshot, surface.name, unit, {}).version.name for unit in PEOPLE}
        assert got <= allowed
        assert running or got == {surface.live}
    for rollout in world.rollouts.values():
        assert _is_coherent(rollout), rollout.state


def _is_coherent(rollout: Rollout) -> bool:
    paused = (rollout.paused_at is not None) == (rollout.state is RolloutState.PAUSED) or not rollout.is_under_way
    held = rollout.state is not RolloutState.ON_HOLD or rollout.hold is not None
    waits = rollout.state is not RolloutState.WAITING or rollout.request is not None
    return paused and held and waits
