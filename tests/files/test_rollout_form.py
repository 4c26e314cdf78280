"""The form that plans a rollout gives a file that passes the checks of files, whatever the template."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from core.files import build_plan, rollout_form
from core.files.checks import check_files
from core.files.kinds.rollout_file import RolloutFile
from core.files.kinds.surface_file import surface_from_file
from core.files.read_file import parse_file
from core.files.rollout_form import LIMITS, RolloutForm
from core.files.syntax.problems import select_errors
from core.files.templates import TEMPLATES
from core.rollout.plans.policy import DEFAULT_POLICY
from core.rollout.state.surface import Surface, evolve


@pytest.fixture
def surface(files: Callable[[str], str]) -> Surface:
    return evolve(None, surface_from_file(parse_file(files("surface.yaml"), "surface.yaml")))  # type: ignore[arg-type]


def fill_in(surface: Surface, template: str) -> RolloutForm:
    return RolloutForm(
        name="shorter",
        surface=surface.name,
        from_version=surface.live,
        owner=surface.owner,
        template=template,
        parts={"prompt": "Fix first.", "model": rollout_form.format_part(surface.live_content, "model")},
        noticed="Answers start with the fix.",
        limits={limit.metric: limit.default for limit in LIMITS},
    )


@pytest.mark.parametrize("template", TEMPLATES)
def test_with_the_usual_limits_every_template_gives_a_plan(surface: Surface, template: str) -> None:
    file = parse_file(rollout_form.write_form(fill_in(surface, template), surface.live_content), "form")
    assert isinstance(file, RolloutFile)
    assert select_errors(check_files.check(file, surface, DEFAULT_POLICY, None)) == ()
    plan = build_plan.build(file, surface, DEFAULT_POLICY, resolve_handle=lambda handle: handle)
    assert dict(plan.change) == {"prompt": "Fix first."}, "what was left as it is does not change"
    assert {limit.metric for limit in LIMITS} <= {limit.metric for limit in plan.limits}


def test_a_prompt_that_is_a_list_of_messages_stays_one(surface: Surface) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{question}"}]
    live = {**surface.live_content, "prompt": messages}
    shown = rollout_form.format_part(live, "prompt")
    form = replace(fill_in(surface, "prompt-standard"), parts={"prompt": shown.replace("Be brief.", "Be kind.")})
    file = parse_file(rollout_form.write_form(form, live), "form")
    assert isinstance(file, RolloutFile)
    assert file.change.to.prompt == [{**messages[0], "content": "Be kind."}, messages[1]]


def test_the_file_to_fill_in_is_refused_until_something_differs(surface: Surface) -> None:
    text = rollout_form.write_starting_file(surface, DEFAULT_POLICY)

    def errors(written: str) -> list[str]:
        file = parse_file(written, "file")
        return [p.message for p in select_errors(check_files.check(file, surface, DEFAULT_POLICY, None))]

    assert "already has exactly this content" in errors(text)[0]
    prompt = str(surface.live_content["prompt"])
    assert errors(text.replace(prompt, "Fix first.")) == []
