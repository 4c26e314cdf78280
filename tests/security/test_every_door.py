"""docs/permissions.md, walked: every door, every kind of person and token, every thing that can be asked for."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.cli import session
from bot.commands import run_verb
from bot.commands.parsing import grammar
from bot.commands.request import CommandContext
from bot.sandbox.workspace import people
from core.rollout.commands import RecordPosted
from tests.security.conftest import TEAM, command

PAGE = (Path(__file__).parents[2] / "docs" / "permissions.md").read_text(encoding="utf-8")
POLICY = """
version: 1
kind: policy
roles:
  operator: {groups: ["@ai-eng"]}
  approver: {groups: ["@support-leads"]}
"""
WHO = {
    "guest, partner, bot, somebody who left": ("gil", "xenia", "hal", "leo"),
    "member": ("mia",),
    "operator": ("ana",),
    "approver": ("lee",),
    "owner, or who applied or wrote it": ("dana",),
}
FORBIDDEN = re.compile(
    r"Guests can|you need to be one of|You're not in|You are not an approver|your own change|You wrote or applied|"
    "Approvals are accepted only from Slack"
)
LINES = {
    "help": "help",
    "list": "list",
    "create": "create",
    "freeze": 'freeze until 2026-12-01 "sale"',
    "unfreeze": "unfreeze",
    "evidence": "evidence 1 R-1",
    "subscribe": "subscribe support-assistant as support",
    "unsubscribe": "unsubscribe",
    "whois": "whois cust_1",
    "explain": "explain R-1 refusal_rate",
    "notice ack": "notice R-1 ack",
    "complaint": "complaint odd --id R-1",
    "move-back": "move-back cust_1 R-1",
    "review": "review R-1 --numbers x --unexpected x --behaviour x --cost x",
    "advance": "advance R-1 --skip-wait x",
    "decide": "decide R-1 keep x",
}


def _rows(heading: str) -> dict[tuple[str, str], str]:
    """(what is asked for, who) -> the cell."""
    table = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")]
    header, rows = lines[0], lines[2:]
    return {(row[0], who): cell for row in rows for who, cell in zip(header[1:], row[1:], strict=True)}


ROWS = [
    (verb, handle, who, cell)
    for (asked, who), cell in _rows("People in Slack").items()
    for verb in re.findall(r"`([^`]+)`", asked)
    for handle in WHO[who]
]


@pytest.fixture
def staffed(office: Any) -> Any:
    """R-1 is planned by its owner Dana; there are a partner, a bot and somebody who left, too."""
    office.plan()
    office.apply_as_admin(POLICY)
    office.say(RecordPosted(key="notice:x:support:#support", channel="C0SUPPORT1", ts="1.1"))
    strangers = {
        "xenia": {"is_stranger": True, "team": "T0PARTNER01"},
        "hal": {"is_bot": True},
        "leo": {"deleted": True},
    }
    here = office.sandbox.workspace.channels["C0AIROLL01"]
    for handle, marks in strangers.items():
        person = replace(people.MIA, id=f"U0{handle.upper()}001", handle=handle, **marks)
        office.sandbox.workspace.people[person.id] = person
        here = replace(here, members=here.members | {person.id})
    office.sandbox.workspace.channels[here.id] = here
    return office


def _id(office: Any, handle: str) -> str:
    return str(office.sandbox.workspace.find_person(handle).id)


def _through(office: Any, door: Any, way: str, handle: str, line: str) -> str:
    """What is answered, as text."""
    number = next(office.ids)
    if way == "command":
        return str(door.signed(command(line, user_id=_id(office, handle), trigger_id=f"7.{number}")).text)
    seen = len(office.sandbox.list_ephemerals(handle))
    if way == "mention":
        inner = {"type": "app_mention", "user": _id(office, handle), "channel": "C0AIROLL01", "ts": "1.2"}
        inner["text"] = f"<@U0RAMPART1> {line}"
        event = {"type": "event_callback", "team_id": TEAM, "event_id": f"Ev{number}", "event": inner}
        assert door.signed(json.dumps(event), content_type="application/json").status_code == 200
    else:
        block = {"type": "actions", "elements": [run_verb.buttons.run_command("go", line)]}
        office.client.chat_postMessage(channel="#ai-rollouts", text="go", blocks=[block])
        message = office.sandbox.list_messages("#ai-rollouts")[-1]
        assert (
            replace(office.person("ana"), person=office.sandbox.workspace.find_person(handle))
            .click(message, "go")
            .acked
        )
    return str(office.shown(office.sandbox.wait_for(lambda: office.sandbox.list_ephemerals(handle)[seen:])[0]))


@pytest.mark.parametrize("way", ["command", "mention", "button"])
def test_people_may_do_in_slack_what_the_page_says(staffed: Any, door: Any, way: str) -> None:
    wrong = []
    for verb, handle, who, cell in ROWS:
        line = LINES.get(verb, f"{verb} R-1")
        if handle in {"hal", "leo"} and way != "command":
            continue  # they are not in the channel, or write nothing there
        may = "yes" if who.startswith("owner") and cell.startswith("as their role") else cell
        answer = _through(staffed, door, way, handle, line)
        if ("no" if FORBIDDEN.search(answer) else "yes") != may:
            wrong.append((verb, handle, may, answer[:200]))
    assert not wrong


def test_nobody_of_another_workspace_is_heard(staffed: Any, door: Any) -> None:
    for verb, handle, _, _ in ROWS:
        line = LINES.get(verb, f"{verb} R-1")
        body = command(line, user_id=_id(staffed, handle), team_id="T0OTHER001", trigger_id=f"8.{next(staffed.ids)}")
        assert "another Slack workspace" in door.signed(body).text, (verb, handle)


def test_the_command_line_may_do_everything_but_approve(staffed: Any) -> None:
    for verb in dict.fromkeys(verb for verb, *_ in ROWS):
        asked = CommandContext(
            service=staffed.service,
            by=session.current_user(),
            at=staffed.at,
            command_id=f"cli-{next(staffed.ids)}",
            source="cli",
        )
        answer = run_verb.execute(grammar.parse(LINES.get(verb, f"{verb} R-1")), asked)
        assert bool(FORBIDDEN.search(str(answer))) is (verb in {"approve", "reject"}), (verb, answer.text)


COMMANDS = ("start", "advance", "decide", "pause", "resume", "rollback", "abandon")
TOKENS = ("no token", "`flags`", "`snapshot`", "`ingest`", "`judge`", "`operator`", "`operator@U…`", "`admin`")


def _requests(asked: str, files: tuple[str, str]) -> list[tuple[str, str, dict[str, Any]]]:
    surface, rollout = files
    commands = "/api/v1/rollouts/R-1/commands"
    if asked.startswith("evaluate"):
        return [("POST", "/ofrep/v1/evaluate/flags/support-assistant", {"json": {"context": {"targetingKey": "u1"}}})]
    if asked == "listen for changes":
        return [("GET", "/api/v1/changes", {})]
    if asked == "fetch the snapshot":
        return [("GET", "/api/v1/snapshot", {})]
    if asked.startswith("fetch answers"):
        results = {"judge": "j", "results": []}
        return [("GET", "/api/v1/judging", {}), ("POST", "/api/v1/judging", {"json": results})]
    if asked.startswith("observations"):
        evals = {"rollout": "R-1", "suite": "", "cases": []}
        return [
            ("POST", "/api/v1/observations", {"json": {"observations": [{}]}}),
            ("POST", "/api/v1/answers", {"json": {"answers": []}}),
            ("POST", "/api/v1/evals", {"json": evals}),
            ("POST", "/v1/traces", {"json": {}}),
        ]
    if asked.startswith("read rollouts"):
        sent = [("POST", commands, {"json": {"command": verb, "reason": "x"}}) for verb in COMMANDS]
        return [("GET", "/api/v1/rollouts", {}), ("GET", "/api/v1/rollouts/R-1", {}), *sent]
    if asked.startswith("list customers"):
        complaint = {"json": {"command": "complaint", "reason": "x"}}
        return [("GET", "/api/v1/rollouts/R-1/customers", {}), ("POST", commands, complaint)]
    if asked.startswith("apply a rollout"):
        return [("POST", "/api/v1/files", {"content": rollout})]
    if asked.startswith("apply a surface"):
        return [("POST", "/api/v1/files", {"content": surface}), ("POST", "/api/v1/files", {"content": POLICY})]
    assert asked == "`approve`, `reject`, `break_glass`"
    return [
        ("POST", commands, {"json": {"command": verb, "reason": "x"}}) for verb in ("approve", "reject", "break_glass")
    ]


@pytest.mark.parametrize("holder", TOKENS)
def test_tokens_may_do_what_the_page_says(
    running: Any, serve: Any, canary: Any, surface_file: str, rollout_file: str, holder: str
) -> None:
    canary(running)
    roles = [(t.strip("`").replace("U…", "U0DANA00001"), f"token-{n}") for n, t in enumerate(TOKENS) if n]
    client = serve(running, tokens=roles)
    number = TOKENS.index(holder)
    headers = {"Authorization": f"Bearer token-{number}"} if number else {}
    for (asked, who), cell in _rows("Tokens").items():
        for method, path, sent in _requests(asked, (surface_file, rollout_file)) if who == holder else ():
            with client.stream(method, path, headers=headers, **sent) as answer:  # a stream of changes never ends
                assert ("no" if answer.status_code in (401, 403) else "yes") == cell, (asked, path, sent)
