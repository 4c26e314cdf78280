"""The whole program as a database role that can only add to the log: nothing it does needs more."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from bot.jobs import upkeep, workspace_messages
from bot.rendering.messages.workspace import witness
from core.rollout.state.model import RolloutState
from core.store.database.connections import connect
from tests.journey import processes
from tests.journey.crowd import Crowd
from tests.journey.house import House


def test_a_rollout_is_told_started_judged_and_taken_back(
    roles_of_postgres: Any, open_house: Callable[..., House]
) -> None:
    made = processes.run("migrate", "--app-role", roles_of_postgres.name, DATABASE_URL=roles_of_postgres.owner_url)
    assert (made.returncode, made.stderr) == (0, "")
    house = open_house(roles_of_postgres.url)
    with house.program.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT current_user").scalar_one() == roles_of_postgres.name
    house.person("lee").click(house.plan(), "Approve")
    house.person("sam").click(house.said("#support", "What customers may notice"), "Got it")
    house.person("ana").type_command("/rollout start R-1")
    house.person("ana").click(house.whispered("ana", "Earliest start"), "Start then")
    house.clock.go()
    with Crowd(house.url, house.clock, "refusals", seed=1) as crowd, crowd.all_the_while(house.clock, a_minute=600):
        house.until(lambda: house.rollout.state is RolloutState.ROLLED_BACK, "the harm is noticed")
    house.until(lambda: house.rollout.flip is not None, "the switch is confirmed")
    shown = witness.parse_line(house.text(house.said("#ai-rollouts", "log witness")))
    assert shown is not None
    service = house.program.service
    workspace_messages.queue_daily_witness(service, house.clock())
    upkeep.delete_expired_keys(service, house.clock() + timedelta(days=30))
    house.until(lambda: house.waiting_to_be_said() == 0, "everything is said")
    assert house.problems_of_the_log() == ()
    assert house.sandbox.violations == []
    with connect(roles_of_postgres.owner_url) as owner, owner.reading() as connection:
        counts = {
            table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
            for table in ("events", "look", "cell", "exposure", "process", "outbox", "anchor", "rollout_view")
        }
    assert min(counts.values()) > 0, counts


def test_a_role_without_its_rights_is_told_who_gives_them(roles_of_postgres: Any) -> None:
    """As after a restore, or after an upgrade without `--app-role`."""
    name, url = roles_of_postgres.name, roles_of_postgres.url
    for command in (["status"], ["web"], ["worker"], ["backup", "copy.backup"], ["doctor"]):
        refused = processes.run(*command, DATABASE_URL=url)
        said = refused.stdout + refused.stderr
        assert refused.returncode == (1 if command == ["doctor"] else 2), said
        assert f"The database role {name} lacks rights that the program needs" in said, said
        assert f"`rollout migrate --app-role {name}`" in said, said
        assert "Traceback" not in said, said
    refused = processes.run("audit", "verify", DATABASE_URL=url)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(
        "rollout: The database refuses this to the role of DATABASE_URL: permission denied"
    )
    assert processes.run("migrate", "--app-role", name, DATABASE_URL=roles_of_postgres.owner_url).returncode == 0
    with connect(roles_of_postgres.owner_url) as owner, owner.writing() as connection:
        connection.exec_driver_sql(f"REVOKE ALL ON trace_part, look FROM {name}")
    refused = processes.run("web", DATABASE_URL=url)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "(on look, trace_part)" in refused.stderr
