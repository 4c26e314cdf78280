"""Write a plan back as a file, with everything spelled out, so that it parses to the same plan."""

from collections.abc import Mapping
from typing import Any

import yaml

from core import durations
from core.files.sections import limit_terms
from core.files.sections.reverts_terms import GITHUB_API
from core.files.syntax.amounts import Amount, Unit, format_amount
from core.judging.limits.limits import LimitRole
from core.judging.model.question import ALL_SEGMENTS
from core.rollout.plans.driven_systems import DRIVEN_SYSTEMS
from core.rollout.plans.plan import (
    AdvanceMode,
    BehaviourChange,
    CodeRevert,
    DrivenFlag,
    EvalTerms,
    Expectation,
    NoticePlan,
    Plan,
    Stage,
    StageKind,
    Tester,
)


def export_plan(plan: Plan) -> str:
    """The plan as YAML. On the same surface and policy, `parse_file` and `build` turn it into an equal plan."""
    return _dump(_write_plan(plan))


def export_next_attempt(plan: Plan, name: str, live: str) -> str:
    """The plan as a file for another rollout called `name`, from the version that is `live`.

    Its version gets a new name, and no start is set. The file plans the same content until somebody corrects it.
    """
    written = _write_plan(plan)
    change = {**written["change"], "from": f"{plan.surface}@{live}", "to": dict(plan.change)}
    told = f"# From {plan.name} ({plan.from_version} -> {plan.to_version}). Correct what went wrong, then apply it.\n"
    written.pop("start", None)
    return told + _dump({**written, "rollout": name, "change": change})


def _write_plan(plan: Plan) -> dict[str, Any]:
    """Every field of the plan, as a file has it."""
    written: dict[str, Any] = {
        "version": 1,
        "rollout": plan.name,
        "surface": plan.surface,
        "owner": plan.owner_handle or plan.owner,
        "risk": plan.risk.value,
        "template": plan.template,
        "change": _drop_empty(
            {
                "from": f"{plan.surface}@{plan.from_version}",
                "to": {"version": plan.to_version, **plan.change},
                "why": plan.why,
                "ticket": plan.ticket,
                "deadline": plan.deadline,
                "rollback_to_available_until": plan.rollback_until,
            }
        ),
        "behaviour_changes": [_write_behaviour(behaviour) for behaviour in plan.behaviour_changes],
        "expectations": {expected.metric: _write_expectation(expected) for expected in plan.expectations},
        "stages": _write_stages(plan.stages),
        "assignment": {
            "unit": plan.unit,
            "control": plan.control,
            "segments": "all" if ALL_SEGMENTS in plan.segments else list(plan.segments),
            **_write_conversations(plan),
            **({"strata": {name: _write_where(where) for name, where in plan.strata.items()}} if plan.strata else {}),
        },
        "approvals": {
            "required": plan.approvals.required,
            "groups": list(plan.approvals.groups),
            "owner_may_approve": plan.approvals.owner_may_approve,
        },
        "rollback_when": _write_limits(plan, LimitRole.ROLLBACK),
        "hold_when": _write_limits(plan, LimitRole.HOLD),
        "notify": [_write_notice(notice) for notice in plan.notices],
    }
    if plan.start is not None:
        written["start"] = plan.start.isoformat()
    if plan.driven:
        entries = [_write_driven(driven) for driven in plan.driven]
        written["drives"] = entries[0] if len(entries) == 1 else entries
    if plan.testers:
        written["testers"] = [_write_tester(tester) for tester in plan.testers]
    if plan.holdout is not None:
        written["holdout"] = {
            "percent": f"{plan.holdout.percent:g}%",
            "for": durations.format_typed(plan.holdout.lasts),
        }
    if plan.reverts:
        written["reverts"] = _write_reverts(plan.reverts)
    return written


def _dump(written: dict[str, Any]) -> str:
    return yaml.dump(written, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """No anchors: a value that occurs twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_reverts(reverts: tuple[CodeRevert, ...]) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for one in reverts:
        if one.system == "github":
            terms = {"repository": one.repository, "pull_request": one.pull_request, "url": one.url}
            written["github"] = {key: value for key, value in terms.items() if value != GITHUB_API}
        else:
            written["webhook"] = {"url": one.url}
    return written


def _write_tester(tester: Tester) -> dict[str, Any]:
    return _drop_empty({"person": tester.handle, "channel": tester.channel, "unit": tester.unit})


def _write_driven(driven: DrivenFlag) -> dict[str, Any]:
    fields = DRIVEN_SYSTEMS[driven.system].fields
    return {driven.system: {field.written: getattr(driven, field.held) for field in fields}}


def _drop_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are set."""
    return {name: value for name, value in fields.items() if value not in ("", None, (), [], False)}


def _write_behaviour(behaviour: BehaviourChange) -> dict[str, Any]:
    return _drop_empty(
        {
            "audience": list(behaviour.audience),
            "text": behaviour.text,
            "example_before": behaviour.example_before,
            "example_after": behaviour.example_after,
            "kind": "unchanged" if behaviour.unchanged else "",
        }
    )


def _write_expectation(expected: Expectation) -> dict[str, Any]:
    if expected.low is None or expected.high is None:
        return {"direction": expected.direction}
    unit = Unit.POINTS if expected.points else Unit.PERCENT
    ends = [format_amount(Amount(value=end, unit=unit)) for end in (expected.low, expected.high)]
    return {"direction": expected.direction, "range": ends}


def _write_limits(plan: Plan, role: LimitRole) -> list[dict[str, Any]]:
    return [limit_terms.format_limit(limit) for limit in plan.limits if limit.role is role]


def _write_notice(notice: NoticePlan) -> dict[str, Any]:
    before = durations.format_typed(notice.before) if notice.before else ""
    return _drop_empty(
        {"channel": notice.channel, "as": notice.audience, "before": before, "acknowledge": notice.acknowledge}
    )


def _write_where(where: Mapping[str, str | tuple[str, ...]]) -> dict[str, str | list[str]]:
    return {key: value if isinstance(value, str) else list(value) for key, value in where.items()}


def _write_conversations(plan: Plan) -> dict[str, str]:
    if plan.finish_within is None:
        return {}
    return {"conversations": "finish", "finish_within": durations.format_typed(plan.finish_within)}


def _write_stages(stages: tuple[Stage, ...]) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    for stage in stages:
        terms = _write_stage_terms(stage)
        before = written[-1].get(stage.kind.value) if written else None
        if before is not None and "steps" in before and {**before, "steps": terms.get("steps")} == terms:
            before["steps"] += terms["steps"]
            continue
        written.append({stage.kind.value: terms})
    return written


def _write_stage_terms(stage: Stage) -> dict[str, Any]:
    percent = format_amount(Amount(value=stage.percent, unit=Unit.NONE)) + "%"
    hold = durations.format_typed(stage.min_hold)
    common = _drop_empty(
        {
            "max_hold": durations.format_typed(stage.max_hold) if stage.max_hold is not None else "",
            "min_samples": stage.min_samples or None,
            "advance": stage.advance.value if stage.advance is AdvanceMode.APPROVE else "",
        }
    )
    match stage.kind:
        case StageKind.EVAL | StageKind.SAFETY | StageKind.COST_LATENCY:
            return _write_gate_terms(stage.kind, stage.terms or EvalTerms())
        case StageKind.ROLLBACK_DRILL:
            return {"within": durations.format_typed(stage.drill_within)} if stage.drill_within is not None else {}
        case StageKind.COHORT:
            where = _write_where(stage.where or {})
            share = {"percent": percent} if stage.stratum is None else {"steps": [percent]}
            return {"name": stage.audience, "where": where, **share, "hold": hold, **common}
        case StageKind.CANARY:
            return {"percent": percent, "min_hold": hold, **common}
        case StageKind.AB:
            return {"percent": percent, "hold": hold, **_drop_empty({"decide_on": list(stage.decide_on)}), **common}
        case StageKind.RAMP:
            return {"steps": [percent], "hold": hold, **common}
        case StageKind.BAKE:
            return {"hold": hold, **common}


def _write_gate_terms(kind: StageKind, terms: EvalTerms) -> dict[str, Any]:
    def format_share(value: float | None) -> str:
        return "" if value is None else format_amount(Amount(value=value, unit=Unit.PERCENT))

    if kind is StageKind.COST_LATENCY:
        rises = {"max_cost_rise": format_share(terms.max_cost_rise), "max_p95_rise": format_share(terms.max_p95_rise)}
        return _drop_empty({"replay": terms.suite, **rises})
    categories = "all" if terms.no_new_failures_in == ("*",) else list(terms.no_new_failures_in)
    return _drop_empty(
        {
            "suite": terms.suite,
            "min_pass_rate": format_share(terms.min_pass_rate),
            "by_lower_bound": terms.by_lower_bound or None,
            "no_new_failures_in": categories,
            "compare_to_current": terms.compare_to_current,
        }
    )
