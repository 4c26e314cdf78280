"""A rollout planned with a form: errors under their fields, the plan to look at first, and the same road as a file."""

from datetime import timedelta
from typing import Any

import pytest

from bot.rendering import wording
from bot.sandbox.workspace.workspace import View
from bot.slack.forms import plan_preview
from core.files.read_file import parse_file
from core.judging.limits.limits import LimitRole
from core.rollout import commands as c
from core.rollout.plans.plan import StageKind
from core.rollout.state.model import RolloutState
from tests.slack.conftest import SURFACE

TOLD = SURFACE + '  - {channel: "#support", as: support}\n  - {channel: "#marketing", as: marketing}\n'
ANSWERS = {
    "Short name": "fix-first",
    "New prompt": "prompts/system.md@sha256:9f2c51e0",
    "What will people notice?": "Answers start with the fix.\nThe assistant no longer apologises.",
    "Cost": "down",
}


@pytest.fixture
def known(office: Any) -> Any:
    """An office that knows one AI feature, with somebody to tell."""
    office.apply_as_admin(TOLD)
    return office


def opened(office: Any, handle: str = "dana", line: str = "create") -> View:
    """The form that this person has opened."""
    assert office.typed(handle, line).acked
    view: View = office.sandbox.top_modal(handle)
    return view


def shown(view: View) -> str:
    return " ".join(
        str((block.get("text") or block.get("elements", [{}])[0]).get("text", "")) for block in view.body["blocks"]
    )


def test_the_form_begins_with_what_is_live(known: Any) -> None:
    form = opened(known)
    said = wording.strip_markup(shown(form))
    assert "Live now: v42 since Mon 23 Nov 09:00 UTC · owner @dana · told: #ai-rollouts (engineering), #support" in said
    assert "1 approval · checks → internal (2 h) → small test 5 % (6 h to 24 h)" in shown(form)
    prompt = next(b for b in form.body["blocks"] if b["block_id"].startswith("part.prompt"))
    assert prompt["element"]["initial_value"] == "prompts/system.md@sha256:11aa90c4"


def test_another_template_is_described_and_what_was_typed_stays(known: Any) -> None:
    form = opened(known)
    known.person("dana").click(form, "template", input="emergency-fix", values={"Short name": "fix-first"})
    again = known.sandbox.wait_for(
        lambda: view if (view := known.sandbox.top_modal("dana")).hash != form.hash else None
    )
    assert "small test 5 % (30 min to 2 h) → everyone (15 min)" in shown(again)
    assert [b["block_id"] for b in again.body["blocks"] if b["type"] == "input"] == [
        b["block_id"] for b in form.body["blocks"] if b["type"] == "input"
    ]


@pytest.mark.parametrize(
    ("changed", "field", "told"),
    [
        ({"What will people notice?": "Various improvements"}, "noticed", "does not tell support what to expect"),
        ({"What will people notice?": ""}, "noticed", "Name one thing that people will notice"),
        ({"Short name": "two words"}, "name", "is not a name"),
        ({"New prompt": ""}, "part.prompt@support-assistant", "Nothing differs from the live version yet"),
        ({"Model": "{name: latest"}, "part.model@support-assistant", "This is not readable"),
        ({"Start": 1_764_000_000}, "start", "#support needs 24 h notice, but the start is sooner"),
    ],
)
def test_an_error_stands_under_its_field(known: Any, changed: dict[str, Any], field: str, told: str) -> None:
    reply = known.person("dana").submit(opened(known), {**ANSWERS, **changed})
    assert told in reply.errors[field]
    assert known.service.load_world().rollouts == {}


def test_the_plan_is_shown_with_what_it_could_notice_and_nothing_is_planned_yet(known: Any) -> None:
    assert known.person("dana").submit(opened(known), ANSWERS).errors == {}
    plan = known.sandbox.top_modal("dana")
    assert "Plan:* fix-first, support-assistant v42 -> v43, standard risk." in shown(plan)
    assert "at 5 % about 144,000 requests a day, for 8.5 h to 24 h" in shown(plan)
    assert "Cost per request: 15 % would be noticed after about" in shown(plan)
    assert "It posts the card and sends the notices. Before the start: approval by 1 person; #support needs 24 h" in (
        shown(plan)
    )
    assert known.service.load_world().rollouts == {}
    assert known.deliver() == 0


def test_confirming_it_plans_it_as_applying_its_file_would(known: Any) -> None:
    dana = known.person("dana")
    dana.submit(opened(known), ANSWERS)
    assert dana.submit(known.sandbox.top_modal("dana")).acked
    done = known.sandbox.top_modal("dana")
    assert "Planned:* R-1 fix-first, v42 -> v43." in shown(done)
    rollout = known.rollout
    assert rollout.state is RolloutState.PLANNED
    assert rollout.plan.owner == "U0DANA0001"
    assert dict(rollout.plan.change) == {"prompt": "prompts/system.md@sha256:9f2c51e0"}
    assert [b.text for b in rollout.plan.behaviour_changes] == ANSWERS["What will people notice?"].splitlines()
    known.deliver()
    assert "Answers start with the fix" in known.shown(known.message("#support", "What customers may notice"))
    dana.close(done)
    assert known.sandbox.top_modal("dana") is None, "the form under it is closed, too"


@pytest.mark.shows("E74")
def test_one_changed_word_of_a_prompt_goes_the_whole_way(office: Any) -> None:
    """Tried by a few, judged by limits, grown in steps: no change of a prompt is too small for that."""
    office.apply_as_admin(TOLD.replace("prompt: prompts/system.md@sha256:11aa90c4", "prompt: Answer in short words."))
    dana = office.person("dana")
    assert dana.submit(opened(office), {**ANSWERS, "New prompt": "Answer in plain words."}).errors == {}
    assert dana.submit(office.sandbox.top_modal("dana")).acked
    plan = office.rollout.plan
    assert dict(plan.change) == {"prompt": "Answer in plain words."}
    steps = [(stage.kind.value, stage.percent) for stage in plan.stages if stage.kind is not StageKind.EVAL]
    assert steps == [
        ("cohort", 50),
        ("canary", 5),
        *(("ramp", percent) for percent in (10, 25, 50, 100)),
        ("bake", 100),
    ]
    assert all(stage.min_hold >= timedelta(hours=2) for stage in plan.stages if stage.kind is not StageKind.EVAL)
    judged = {limit.metric for limit in plan.limits if limit.role is LimitRole.ROLLBACK}
    assert judged == {"eval_pass_rate", "cost_per_request", "latency_p95", "new_error_category", "complaint_rate"}

    office.deliver()
    assert "It needs 1 more approval. #support needs 24 h notice." in office.typed("ana", "start R-1").text
    office.typed("lee", "approve R-1")
    office.later(hours=25).typed("ana", "start R-1")
    for line in ("advance R-1", 'advance R-1 to 5% "one word"', 'advance R-1 to 100% "one word"'):
        office.typed("ana", line)
        assert (office.rollout.current_stage.name, office.rollout.percent) == ("eval", 0), line
    assert office.service.load_world().surfaces["support-assistant"].live == "v42"


def test_its_file_arrives_as_a_direct_message_and_applies_to_the_same_plan(known: Any) -> None:
    dana = known.person("dana")
    dana.submit(opened(known), ANSWERS)
    assert dana.click(known.sandbox.top_modal("dana"), "Get it as a file").acked
    stored = known.sandbox.wait_for(lambda: list(known.sandbox.workspace.files.values()))[0]
    text = known.sandbox.wait_for(lambda: known.sandbox.workspace.files[stored.id].content).decode()
    assert stored.name == "fix-first.yaml"
    assert parse_file(text, "x").rollout == "fix-first"  # type: ignore[union-attr]
    dana.submit(known.sandbox.top_modal("dana"))
    before = known.rollout.fingerprint
    known.apply(text)
    assert known.rollout.fingerprint == before
    assert list(known.service.load_world().rollouts) == ["R-1"]


def test_pressing_plan_it_twice_plans_it_once(known: Any) -> None:
    dana = known.person("dana")
    dana.submit(opened(known), ANSWERS)
    plan = known.sandbox.top_modal("dana")
    assert dana.submit(plan).acked
    assert dana.submit(plan).acked
    assert list(known.service.load_world().rollouts) == ["R-1"]


def test_a_plan_that_became_outdated_meanwhile_is_not_planned(known: Any) -> None:
    dana = known.person("dana")
    dana.submit(opened(known), ANSWERS)
    plan = known.sandbox.top_modal("dana")
    known.at = known.at.replace(year=2026, month=11, day=23)
    known.apply_as_admin("version: 1\nkind: policy\nroles: {operator: {groups: ['@ai-platform']}}\n")
    assert dana.submit(plan).acked
    assert "you need to be one of @ai-platform" in shown(known.sandbox.top_modal("dana"))
    assert known.service.load_world().rollouts == {}


def test_who_may_not_plan_is_told_before_the_form_opens(known: Any) -> None:
    known.apply_as_admin("version: 1\nkind: policy\nroles: {operator: {groups: ['@ai-eng']}}\n")
    assert "you need to be one of @ai-eng" in known.typed("sam", "create").text
    assert "Guests can't" in known.typed("gil", "create").text
    assert known.sandbox.top_modal("sam") is None


def test_without_any_ai_feature_it_says_what_to_do_first(office: Any) -> None:
    assert "rollout apply surface.yaml" in str(office.typed("dana", "create").blocks)
    assert "There is no AI feature called search" in _after_applying(office).typed("dana", "create search").text


def _after_applying(office: Any) -> Any:
    office.apply_as_admin(TOLD)
    return office


def test_a_mention_is_answered_with_a_button_that_opens_the_form(known: Any) -> None:
    known.person("dana").say("@rampart create support-assistant")
    offered = known.sandbox.wait_for(lambda: known.sandbox.list_ephemerals("dana"))[0]
    assert known.person("dana").click(offered, "New rollout").acked
    assert known.sandbox.wait_for(lambda: known.sandbox.top_modal("dana")).body["callback_id"] == "create"


def test_a_prompt_that_is_too_long_for_a_form_is_refused_under_its_field(known: Any) -> None:
    noise = "".join(chr(0x4E00 + (n * 7919) % 20_000) for n in range(2_900))
    reply = known.person("dana").submit(opened(known), {**ANSWERS, "New prompt": noise})
    assert "too long for a form" in reply.errors["part.prompt@support-assistant"]


def test_an_earlier_version_is_picked_and_becomes_the_change(known: Any) -> None:
    known.apply(known.files["rollout"])
    known.deliver()
    known.typed("lee", "approve R-1")
    known.later(minutes=10).typed("ana", "start R-1")
    while known.rollout.state is not RolloutState.DONE:
        known.later(minutes=3).say(c.Advance(reason="seen by all of us"))
        known.say(c.Tick())
    form = opened(known)
    menu = next(b for b in form.body["blocks"] if b["block_id"] == "version")
    offered = [option["text"]["text"] for option in menu["element"]["options"]]
    assert offered == ["v43 (live)", "v42 (prompt as it was)"]
    known.person("dana").click(form, "version", input="v42", values={"Short name": "back-to-the-old"})
    again = known.sandbox.wait_for(
        lambda: view if (view := known.sandbox.top_modal("dana")).hash != form.hash else None
    )
    prompt = next(b for b in again.body["blocks"] if b["block_id"].startswith("part.prompt"))
    assert prompt["element"]["initial_value"] == "prompts/system.md@sha256:11aa90c4"
    answers = {**ANSWERS, "Short name": "back-to-the-old"}
    del answers["New prompt"]
    assert not known.person("dana").submit(again, answers).errors
    file = plan_preview.read_file(known.sandbox.top_modal("dana").body)[0]
    assert "from: support-assistant@v43" in file
    assert "prompt: prompts/system.md@sha256:11aa90c4" in file
