"""Nobody approves their own change, whatever it says of its owner, and through whichever door it came."""

from dataclasses import replace

import pytest

from bot.sandbox.workspace import people
from core.files.command_from_file import FileLookups
from core.files.plan_from_file import UnknownPerson
from core.files.syntax.problems import UnreadableFile
from core.rollout.context import Actor
from core.rollout.refusal import Refused
from core.rollout.state.events import Approved
from core.service import apply_file

TOKEN = Actor(id="token:operator", handle="operator token")
BOUND = Actor(id="token:operator@U0LEE00001", handle="operator token of U0LEE00001")


def _applied(office, text, by=TOKEN, resolve=None):
    return apply_file.apply_text(
        office.service,
        text,
        "file.yaml",
        by=by,
        at=office.at,
        command_id=f"apply-{next(office.ids)}",
        lookups=FileLookups(resolve_handle=resolve or office.directory.resolve_handle),
    )


def _owned(office, owner: str, **changes: str) -> str:
    text = office.files["rollout"].replace('owner: "@dana"', f'owner: "{owner}"')
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def _approvals(office) -> list[str]:
    return [r.event.by for r in office.service.load_history("R-1") if isinstance(r.event, Approved)]


@pytest.fixture
def declared(office):
    _applied(office, office.files["surface"])
    return office


@pytest.mark.parametrize("owner", ["@nobody-such", "U0NOBODY01", "@rampart"])
def test_an_owner_who_is_nobody_is_refused_with_the_line(declared, owner):
    with pytest.raises(UnreadableFile, match=r"there is no \S+ in Slack") as refused:
        _applied(declared, _owned(declared, owner))
    assert refused.value.problems[0].line == 4
    assert not declared.service.load_world().rollouts


def test_while_slack_is_away_what_needs_approvals_is_not_applied(declared):
    declared.sandbox.fail_next("users.list", "500", times=3)
    with pytest.raises(Refused, match="it is not known who @dana is"):
        _applied(declared, declared.files["rollout"])


@pytest.mark.parametrize("owner", ["@evie", "@Evie", "@eva.kowalski", "@EVA.KOWALSKI", "U0KOWALSKI"])
def test_the_owner_may_not_approve_however_they_are_called(declared, owner):
    eva = replace(people.LEE, id="U0KOWALSKI", handle="eva.kowalski", display_name="evie")
    declared.sandbox.workspace.people[eva.id] = eva
    _applied(declared, _owned(declared, owner))
    assert declared.rollout.plan.owner == "U0KOWALSKI"
    eva_at_her_desk = replace(declared.person("lee"), person=eva)
    channel = declared.sandbox.workspace.channels["C0AIROLL01"]
    declared.sandbox.workspace.channels[channel.id] = replace(channel, members=channel.members | {eva.id})
    assert "is your own change" in eva_at_her_desk.type_command("/rollout approve R-1").text
    assert _approvals(declared) == []


def test_whoever_names_a_colleague_as_owner_may_not_approve_what_they_applied(declared):
    lee = declared.directory.resolve_actor("T0SANDBOX1", people.LEE.id, moves_forward=True)
    _applied(declared, _owned(declared, "@mia"), by=lee)
    assert "You wrote or applied R-1" in declared.typed("lee", "approve R-1").text
    assert _approvals(declared) == []


def test_a_token_of_a_person_is_that_person(declared):
    _applied(declared, _owned(declared, "@mia"), by=BOUND)
    assert "You wrote or applied R-1" in declared.typed("lee", "approve R-1").text
    assert _approvals(declared) == []


def test_whoever_wrote_it_may_not_approve_after_somebody_else_applied_it_again(declared):
    lee = declared.directory.resolve_actor("T0SANDBOX1", people.LEE.id, moves_forward=True)
    _applied(declared, declared.files["rollout"], by=lee)
    _applied(declared, declared.files["rollout"].replace("percent: 5", "percent: 4"), by=BOUND.__class__(id="cli:ci"))
    assert "You wrote or applied R-1" in declared.typed("lee", "approve R-1").text


def test_whoever_wrote_the_version_may_not_approve_it_in_another_rollout(declared):
    lee = declared.directory.resolve_actor("T0SANDBOX1", people.LEE.id, moves_forward=True)
    _applied(declared, declared.files["rollout"], by=lee)
    declared.typed("lee", "rollback R-1")
    _applied(declared, declared.files["rollout"].replace("rollout: support-tone", "rollout: second-try"))
    assert "You wrote or applied R-2" in declared.typed("lee", "approve R-2").text
    assert "Approved by @ana" in declared.typed("ana", "approve R-2").text


def test_the_owner_may_approve_where_the_file_says_so_and_a_person_applied_it(declared):
    text = _owned(declared, "@dana", **{"risk: standard": "risk: standard\napprovals: {owner_may_approve: true}"})
    _applied(declared, text)
    assert "token:operator, which is not a person" in declared.typed("dana", "approve R-1").text
    dana = declared.directory.resolve_actor("T0SANDBOX1", people.DANA.id, moves_forward=True)
    _applied(declared, text.replace("percent: 5", "percent: 4"), by=dana)
    assert "token:operator, which is not a person" not in declared.typed("dana", "status R-1").text


def test_applied_without_a_slack_it_waits_for_its_owner_to_be_looked_up(declared):
    applied = _applied(declared, declared.files["rollout"], resolve=lambda handle: handle)
    assert "cannot be looked up without Slack" in applied.warnings[-1].message
    assert "@dana, was not found in Slack" in declared.typed("lee", "approve R-1").text
    _applied(declared, declared.files["rollout"])
    assert "Approved by @lee" in declared.typed("lee", "approve R-1").text


def test_where_nobody_has_to_approve_an_unknown_owner_is_a_warning(declared):
    def nobody(handle: str) -> str:
        raise UnknownPerson(f"there is no {handle} in Slack")

    before, behaviour, rest = declared.files["rollout"].replace("risk: standard", "risk: low").partition("behaviour_")
    text = before + "stages:" + (behaviour + rest).partition("stages:")[2]
    for audience in ("support", "marketing"):
        text = text.replace(f"as: {audience}, before: 10m", "as: engineering")
    applied = _applied(declared, text, resolve=nobody)
    assert any("there is no @dana in Slack" in warning.message for warning in applied.warnings)


@pytest.mark.parametrize("later", ["known", "away"])
def test_a_file_that_has_begun_says_the_same_whatever_slack_says_of_its_owner_later(declared, later):
    low = declared.files["rollout"].replace("risk: standard", "risk: low").replace("@dana", "@nobody-yet")
    text = low.partition("behaviour_")[0] + "stages:" + low.partition("stages:")[2].partition("notify:")[0]
    declared.sandbox.fail_next("users.list", "500", times=1)
    assert _applied(declared, text).changed
    assert "Started by" in declared.typed("ana", "start R-1").text

    def resolve(handle: str) -> str:
        if later == "away":
            raise UnknownPerson("Slack cannot be asked", is_temporary=True)
        return "U0NOBODY01"

    assert not _applied(declared, text, resolve=resolve).changed
