"""A time that somebody types is in their own zone, and every time that is shown says in which it is."""

from datetime import UTC, datetime

from core.rollout.state.events import StartScheduled
from tests.slack.conftest import ROLLOUT, SURFACE, Office


def test_a_start_is_set_in_the_zone_of_whoever_types_it_and_the_answer_repeats_it(office: Office) -> None:
    """The policy's zone is UTC, Ana's own is that of Berlin."""
    office.apply(SURFACE)
    office.apply(ROLLOUT)
    office.deliver()
    office.typed("lee", "approve R-1")
    office.typed("ana", 'start R-1 --at "Tue 10:00"')
    said = office.shown(office.whispered("ana"))
    (scheduled,) = [r.event for r in office.service.load_history("R-1") if isinstance(r.event, StartScheduled)]
    assert scheduled.start == datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
    assert "“Tue 10:00” was read as Tue 24 Nov 10:00 CET, in Europe/Berlin, your time zone in Slack." in said


def test_a_refusal_names_the_earliest_time_in_the_zone_of_whoever_is_refused(office: Office) -> None:
    office.apply(SURFACE)
    office.apply(ROLLOUT)
    office.deliver()
    office.typed("lee", "approve R-1")
    said = office.typed("ana", "start R-1").text
    assert "Earliest start" in said
    assert " CET." in said
    assert "UTC" not in said


def test_the_history_shows_each_reader_their_own_time(office: Office) -> None:
    office.plan()
    office.typed("ana", "history R-1")
    assert f"<!date^{int(office.at.timestamp())}^" in str(office.whispered("ana").blocks)
