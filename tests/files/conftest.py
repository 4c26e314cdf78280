"""Files to change and the surface they are about, as fixtures."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.files import build_plan
from core.files.checks import check_files
from core.files.kinds.policy_file import policy_from_file
from core.files.kinds.surface_file import surface_from_file
from core.files.read_file import AnyFile, parse_file
from core.files.syntax.problems import FileProblem, UnreadableFile, render_text
from core.rollout.plans.plan import Plan
from core.rollout.plans.policy import DEFAULT_POLICY, Policy
from core.rollout.state.surface import Surface, evolve

FILES = Path(__file__).parent / "files"
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)  # a Friday

SMALL = """\
version: 1
rollout: small
surface: support-assistant
owner: "@dana"
risk: standard
change:
  from: support-assistant@v42
  to: {prompt: "Fix first."}
behaviour_changes:
  - {audience: support, text: "Answers start with the fix."}
expectations:
  cost_per_request: {direction: down, range: [-20%, -5%]}
stages:
  - cohort: {name: internal, where: {email_domain: example.com}, hold: 2h}
  - canary: {percent: 5, min_hold: 6h, max_hold: 24h, min_samples: 1500}
  - ramp: {steps: [25%, 100%], hold: 1h}
  - bake: {hold: 2h}
rollback_when:
  - {metric: eval_pass_rate, drops_by: 2pp}
  - {metric: cost_per_request, rises_by: 15%}
  - {metric: latency_p95, exceeds: 4000ms, for: 15m}
notify:
  - {channel: "#ai-rollouts", as: engineering}
  - {channel: "#support", as: support, before: 24h}
"""


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def files() -> Callable[[str], str]:
    return lambda name: (FILES / name).read_text()


@pytest.fixture
def surface(files: Callable[[str], str]) -> Surface:
    """Live is v42; v41 was before, and v43 is named so that a file may start from it once it is live."""
    first = evolve(None, surface_from_file(parse_file(files("surface.yaml"), "surface.yaml")))
    older = {"v41": {**first.live_content, "params": {"temperature": 0.5}}}
    return replace(first, versions={**older, **first.versions})


@pytest.fixture
def policy(files: Callable[[str], str]) -> Policy:
    return policy_from_file(parse_file(files("policy.yaml"), "policy.yaml"))


@pytest.fixture
def small() -> Callable[..., str]:
    """The small file with some of its text replaced: `small(("risk: standard", "risk: high"))`."""

    def edited(*edits: tuple[str, str]) -> str:
        text = SMALL
        for old, new in edits:
            assert old in text, old
            text = text.replace(old, new)
        return text

    return edited


@pytest.fixture
def refused() -> Callable[[str], str]:
    """What reading says about a text that it refuses."""

    def rendered(text: str, name: str = "bad.yaml") -> str:
        with pytest.raises(UnreadableFile) as refusal:
            parse_file(text, name)
        assert str(refusal.value) == render_text(refusal.value.problems)
        return str(refusal.value)

    return rendered


@pytest.fixture
def checked(surface: Surface) -> Callable[..., str]:
    """What the checks say about a text that reads well, of a surface whose traffic is not known."""
    quiet = replace(surface, daily_requests=None)

    def rendered(
        text: str, *, on: Surface | None = quiet, policy: Policy = DEFAULT_POLICY, now: datetime | None = NOW
    ) -> str:
        found: tuple[FileProblem, ...] = check_files.check(parse_file(text, "bad.yaml"), on, policy, now)
        return render_text(found)

    return rendered


@pytest.fixture
def built(surface: Surface) -> Callable[..., Plan]:
    """The plan of a text."""

    def build(
        text: str, *, on: Surface = surface, policy: Policy = DEFAULT_POLICY, to_version: str | None = None
    ) -> Plan:
        file: AnyFile = parse_file(text, "good.yaml")
        return build_plan.build(file, on, policy, resolve_handle={"@dana": "U0DANA"}.__getitem__, to_version=to_version)

    return build
