"""Before a start, people read what the evals leave out: traffic that was really seen, against the suite's cases."""

from datetime import timedelta

import pytest

from bot.commands.answers import plan_queries
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import CommandContext
from bot.rendering.charts import plain_text
from bot.rendering.messages import approval
from core.evals.eval_run import ReadingChoices
from core.evals.read_run import read_run
from core.metrics.observation import Observation
from core.report_sources import eval_coverage
from core.rollout import commands as c
from core.rollout.decisions.eval_command import build_eval_command
from core.service import rollout_look
from core.store.observations import observation_sums
from core.store.observations.observation_batch import PlacedObservation
from tests.service.conftest import LEE

PLAN = """\
version: 1
rollout: {name}
surface: support-assistant
owner: "@dana"
risk: low
change:
  from: support-assistant@v42
  to: {{prompt: prompts/system.md@sha256:{name}}}
  why: Shorter answers.
assignment: {{segments: [language, country]}}
stages:
  - eval: {{suite: support, min_pass_rate: 75%}}
  - canary: {{percent: 5, min_hold: 1h}}
  - ramp: {{steps: [100%], hold: 1h}}
  - bake: {{hold: 1h}}
rollback_when:
  - {{metric: eval_pass_rate, drops_by: 3pp}}
  - {{metric: cost_per_request, rises_by: 15%}}
  - {{metric: latency_p95, exceeds: 4000ms}}
notify:
  - {{channel: "#ai-rollouts", as: engineering}}
"""
RESULTS = b"case,category,pass,language\n" + b"".join(
    b"c%d,billing,true,%s\n" % (n, b"de" if n % 2 else b"en") for n in range(200)
)


@pytest.mark.shows("E40", "E41", "E42")
def test_traffic_without_an_eval_case_is_named_before_the_start(desk, files, database):
    desk.apply(files["surface"])
    desk.apply(PLAN.format(name="first"))
    desk.say(c.Start())
    hand_in(desk, "R-1")
    desk.later(minutes=1)
    rollout_look.evaluate_rollout(desk.service, "R-1", desk.at, every=timedelta(seconds=10))
    with database.writing_outside_log() as connection:
        observation_sums.add_observations(connection, [request(desk, n) for n in range(1000)])
    desk.say(c.RollBack(reason="too short"))
    desk.apply(PLAN.format(name="second"))

    world = desk.service.load_world()
    before = eval_coverage.load_coverage(desk.service, world.rollouts["R-2"].plan, world)
    assert [(one.segment, one.share) for one in before.uncovered] == [("language=tr", 0.12)]
    assert (before.suite_from, before.unlabelled) == ("R-1", ("country",))

    said = describe(desk, "R-2")
    assert (
        "Traffic: 12 % has no eval case: language=tr 12 % (as seen in R-1, 1,000 requests; the suite as in R-1); no "
        "eval case says its country." in said
    )
    assert "Cost and speed under load: not measured by any eval so far. Watched live: cost per request" in said
    assert "What people notice: no change announced" in said
    assert "there are no results yet" in said

    hand_in(desk, "R-2")
    after = describe(desk, "R-2")
    assert "(as seen in R-1, 1,000 requests); no eval case says its country." in after
    assert "Rare cases: a fault in up to 1.5 % of answers can pass 200 cases unseen" in after

    desk.say(c.Start(), rollout="R-2")
    running = show_plan(desk, "R-2")
    assert "a fault in up to 1.5 % of answers can pass 200 cases unseen" in running
    assert "no results yet" not in running


def test_without_any_rollout_before_nothing_is_claimed(desk, files):
    desk.apply(files["surface"])
    desk.apply(PLAN.format(name="first"))
    assert "not known what the evals leave out, as no rollout" in describe(desk, "R-1")


def hand_in(desk, rollout):
    found = desk.service.load_world().rollouts[rollout]
    run = read_run(RESULTS, ReadingChoices(dimensions=found.plan.segments))
    desk.say(build_eval_command(found, "support", run), rollout=rollout)


def describe(desk, rollout):
    world = desk.service.load_world()
    found = world.rollouts[rollout]
    facts = plan_queries.load_decision_facts(desk.service, found, desk.service.load_entries(rollout), desk.at)
    return plain_text.render_text(approval.render_details(found, facts, world.policy.timezone))


def show_plan(desk, rollout):
    """What `/rollout plan` says of a rollout."""
    context = CommandContext(service=desk.service, by=LEE, at=desk.at, command_id="plan-1", source="slack")
    return plain_text.render_text(plan_queries.ANSWERS["plan"](ParsedCommand(verb="plan", rollout=rollout), context))


def request(desk, number):
    """One request of the canary stage; 12 % are Turkish."""
    language = "tr" if number % 25 < 3 else "de" if number % 2 else "en"
    seen = Observation(
        surface="support-assistant",
        unit=f"u{number}",
        at=desk.at,
        readings={"eval_pass_rate": 1.0},
        segments={"language": language, "country": "at"},
    )
    arm = "canary" if number % 20 == 0 else "control"
    return PlacedObservation(rollout="R-1", stage=1, arm=arm, unit=f"u{number}", observation=seen)
