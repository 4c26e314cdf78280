"""What the people of the demonstration do while a template is played, apart from approving."""

import json
from collections.abc import Callable
from functools import partial

import httpx

from bot.demo.template_plays import TemplatePlay
from bot.sandbox.control import Sandbox
from bot.sandbox.workspace.workspace import SandboxMessage
from core.rollout.decisions import approval_requests
from core.rollout.plans.plan import DEFAULT_EVAL_TERMS
from core.rollout.state import holds
from core.rollout.state.model import Rollout, RolloutState

_CASES = 200  # of an offline run


class TemplatePeople:
    """Sam confirms notices, Ana starts, Dana hands in eval results, and whoever is asked decides; each of it once."""

    def __init__(self, sandbox: Sandbox, url: str, play: TemplatePlay, *, is_harmless: bool) -> None:
        self._sandbox, self._url, self._play, self._is_harmless = sandbox, url, play, is_harmless
        self._done: set[str] = set()

    def act(self, rollout: Rollout) -> None:
        """Do what somebody is asked for now, unless it was done."""
        match rollout.state:
            case RolloutState.PLANNED:
                self._acknowledge_notices(rollout)
                self._start(rollout)
            case RolloutState.RUNNING if rollout.current_stage.kind in DEFAULT_EVAL_TERMS:
                if rollout.stage_index not in rollout.evals:
                    self._once(f"eval {rollout.stage_index}", lambda: self._hand_in_evals(rollout))
            case RolloutState.ON_HOLD if rollout.hold is not None:
                key = rollout.hold.key
                self._once(f"{key} {rollout.stage_index} {rollout.stage_since}", lambda: self._decide(rollout, key))
            case _:
                pass

    def find_request(self, rollout: Rollout) -> SandboxMessage | None:
        """The message in which the open approval is asked for; None until it is posted, or if it is not open."""
        if rollout.request is None or approval_requests.is_approved(rollout):
            return None
        wanted = rollout.request.request
        return next(
            (
                one
                for one in reversed(self._sandbox.list_messages("#ai-rollouts"))
                if "Approval needed" in one.text and wanted in json.dumps(one.blocks)
            ),
            None,
        )

    def _once(self, what: str, act: Callable[[], object]) -> None:
        if what not in self._done:
            self._done.add(what)
            act()

    def _acknowledge_notices(self, rollout: Rollout) -> None:
        for notice in rollout.plan.stakeholder_notices:
            if notice.acknowledge and not rollout.acknowledged.get(notice.key):
                messages = self._sandbox.list_messages(notice.channel)
                if posted := [one for one in messages if "Got it" in json.dumps(one.blocks)]:
                    self._once(f"notice {notice.key}", partial(self._sandbox.act_as("sam").click, posted[-1], "Got it"))

    def _start(self, rollout: Rollout) -> None:
        """Once all notices are posted and, unless it is an emergency, once it is approved."""
        if any(rollout.notice_posted_at(notice.key) is None for notice in rollout.plan.stakeholder_notices):
            return
        ana = self._sandbox.act_as("ana")
        if self._play.policy:
            reason = '"answers name a phone number that no longer exists"'
            self._once("start", lambda: ana.type_command(f"/rollout break-glass {rollout.id} start {reason}"))
        elif approval_requests.is_approved(rollout) or not approval_requests.needs_start_approval(rollout):
            self._once("start", lambda: ana.type_command(f"/rollout start {rollout.id}"))
            early = [one for one in self._sandbox.list_ephemerals("ana") if "Start then" in json.dumps(one.blocks)]
            if early and rollout.start is None:
                self._once("start then", lambda: ana.click(early[-1], "Start then"))

    def _hand_in_evals(self, rollout: Rollout) -> None:
        """As a runner in CI does it: a file of the new version, and one of the current version as its baseline."""
        terms = rollout.current_stage.terms
        files = {
            "file": _write_results(cost=0.0105, latency_ms=1050.0),
            "baseline": _write_results(cost=0.01, latency_ms=1000.0),
        }
        httpx.post(
            f"{self._url}/api/v1/evals",
            params={"rollout": rollout.id, "suite": terms.suite if terms is not None else ""},
            files={name: (f"{name}.jsonl", text) for name, text in files.items()},
            timeout=30,
            trust_env=False,
        ).raise_for_status()

    def _decide(self, rollout: Rollout, hold: str) -> None:
        """A harmless version is kept, any other taken back."""
        dana, lee = self._sandbox.act_as("dana"), self._sandbox.act_as("lee")
        if not self._is_harmless:
            dana.type_command(f"/rollout rollback {rollout.id} what it is on hold for is true")
        elif hold.startswith(holds.DECISION):
            lee.type_command(f'/rollout decide {rollout.id} keep "as good on all that was compared"')
        else:
            dana.type_command(f"/rollout resume {rollout.id} looked into the answers: nothing is wrong")


def _write_results(**amounts: float) -> bytes:
    rows = [{"case": f"c{n}", "category": "refund", "pass": n >= 4, **amounts} for n in range(_CASES)]
    return "\n".join(json.dumps(row) for row in rows).encode()
