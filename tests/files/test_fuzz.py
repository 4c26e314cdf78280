"""Whatever is written, the answer is a plan or a list of problems; never an accident."""

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from core.files.build_plan import build
from core.files.checks.check_files import check
from core.files.foresight.timeline import build_timeline, format_lines
from core.files.kinds.policy_file import policy_from_file
from core.files.kinds.surface_file import surface_from_file
from core.files.read_file import parse_file
from core.files.syntax.problems import UnreadableFile, render_text, select_errors
from core.files.syntax.yaml_with_lines import parse_yaml
from core.files.write_file import export_plan
from core.rollout.plans.policy import DEFAULT_POLICY
from core.rollout.state.surface import evolve

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)

TYPED = """
5% 2pp 0% 100% 1ms $1 9x 0s 15m 366d 2026-02-29 2026-11-24T10:00Z #a @a all auto approve high low latency_p95
new_error_category eval_score v42 a@b strict matched canary ramp
"""
ends = st.sampled_from([None, True, 0, -1, 7, 100, 10**30, 1.5, 1e300, "", "\u2028", "\U0001f600", *TYPED.split()])
values = st.recursive(
    ends, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner), max_leaves=4
)


def places(data, path=()):
    yield path
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def changed(data, path, value):
    if not path:
        return value
    data = deepcopy(data)
    inside = data
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value
    return data


@pytest.mark.parametrize("name", ["prompt-change.yaml", "model-upgrade.yaml", "surface.yaml", "policy.yaml"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(draw=st.data())
def test_a_file_with_anything_in_it(files, surface, name, draw):
    data = parse_yaml(files(name), name).data
    for _ in range(draw.draw(st.integers(1, 3))):
        data = changed(data, draw.draw(st.sampled_from(list(places(data)))), draw.draw(values))
    if name == "model-upgrade.yaml":
        surface = replace(surface, live="v43", versions={**surface.versions, "v43": surface.live_content})
    text = yaml.safe_dump(data, allow_unicode=True)
    try:
        file = parse_file(text, name)
        found = check(file, surface, DEFAULT_POLICY, NOW)
        assert bool(render_text(found)) is bool(found)
        if select_errors(found):
            return
        if name == "policy.yaml":
            policy_from_file(file)
        elif name == "surface.yaml":
            evolve(None, surface_from_file(file))
        else:
            plan = build(file, surface, DEFAULT_POLICY, resolve_handle=str)
            assert format_lines(build_timeline(plan, surface, DEFAULT_POLICY, NOW))
            assert build(parse_file(export_plan(plan), "again"), surface, DEFAULT_POLICY, resolve_handle=str) == plan
    except UnreadableFile as refusal:
        event(f"refused with {min(len(refusal.problems), 3)} problem(s) or more")
