"""A coding agent talks to `rollout mcp` with the official client of its protocol."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import mcp
import psutil
import pytest
from mcp.client.streamable_http import streamable_http_client

from bot.cli.agents.agent_simulations import AgentSimulations
from core.rollout import commands as c
from core.rollout.context import Actor
from core.service.apply_file import apply_text
from core.service.service import CommandRequest, RolloutService
from core.store.database.connections import connect
from tests.http.conftest import ROLLOUT, SURFACE
from tests.journey.processes import Machine, Process

ANA = Actor(id="cli:ana", handle="ana")
TOOLS = "apply evidence explain history lint list_rollouts metrics pause plan rollback simulate status"


@pytest.fixture
def database(sqlite_url: str) -> str:
    """A database with a surface."""
    with connect(sqlite_url) as opened:
        apply_text(RolloutService(opened), SURFACE, "surface.yaml", by=ANA, at=datetime.now(UTC), command_id="surface")
    return sqlite_url


def talk(database: str, do: Callable[[Any], Awaitable[None]], *options: str) -> None:
    """Start the server, and let `do` call its tools."""
    rollout = shutil.which("rollout", path=str(Path(sys.executable).parent))
    assert rollout is not None
    environment = {"DATABASE_URL": database, "PATH": os.environ["PATH"]}
    parameters = mcp.StdioServerParameters(command=rollout, args=["mcp", *options], env=environment)

    async def converse() -> None:
        async with asyncio.timeout(120):
            async with mcp.Client(parameters, client_info=mcp.Implementation(name="Codex", version="1")) as client:
                await do(client)

    asyncio.run(converse())


async def call(client: Any, tool: str, **arguments: Any) -> tuple[bool, str]:
    """(whether it succeeded, what it answered)."""
    answer = await client.call_tool(tool, arguments)
    return not answer.is_error, "\n".join(block.text for block in answer.content)


def start(database: str) -> None:
    with connect(database) as opened:
        request = CommandRequest(command=c.Start(), command_id="start", by=ANA, at=datetime.now(UTC), rollout="R-1")
        RolloutService(opened).handle(request)


def test_it_prepares_pauses_and_rolls_back(database: str, tmp_path: Path) -> None:
    file = tmp_path / "rollout.yaml"
    file.write_text(ROLLOUT)

    async def work(client: Any) -> None:
        offered = (await client.list_tools()).tools
        assert " ".join(sorted(tool.name for tool in offered)) == TOOLS
        assert {tool.name for tool in offered if not tool.annotations.read_only_hint} == {"apply", "pause", "rollback"}
        assert await call(client, "lint", file=str(file)) == (True, "1 file, no problems found.")
        succeeded, shown = await call(client, "plan", file=str(file))
        assert succeeded
        assert "support-assistant v42 -> v43, low risk" in shown
        succeeded, shown = await call(client, "apply", file=str(file))
        assert succeeded
        assert shown.endswith("rollout R-1: applied")
        assert "R-1" in (await call(client, "list_rollouts"))[1]
        start(database)
        succeeded, shown = await call(client, "pause", rollout="R-1", reason="see R-2 --dry-run")
        assert succeeded
        assert "see R-2 --dry-run" in shown
        succeeded, shown = await call(client, "rollback", rollout="R-1", reason="answers are wrong")
        assert succeeded
        assert (await call(client, "status", rollout="R-1"))[0]
        assert (await call(client, "metrics", rollout="R-1"))[0]
        assert "No data" in (await call(client, "explain", rollout="R-1", metric="refusal_rate"))[1]
        assert "answers are wrong" in (await call(client, "history", rollout="R-1"))[1]

    talk(database, work, "--agent", "unnamed", "--person", "U0DANA00001")
    with connect(database) as opened:
        history = RolloutService(opened).load_history("R-1")
    agents = {recorded.actor for recorded in history if recorded.actor.startswith("agent:")}
    assert len(agents) == 1
    assert agents == {"agent:codex@U0DANA00001"}


def test_a_database_that_is_gone_is_said_without_its_password() -> None:
    async def work(client: Any) -> None:
        for tool, more in (("list_rollouts", {}), ("rollback", {"rollout": "R-1", "reason": "answers are wrong"})):
            succeeded, said = await call(client, tool, **more)
            assert not succeeded
            assert "The database of DATABASE_URL cannot be used" in said
            assert "hunter2" not in said
            assert ("may not have been carried out" in said) is (tool == "rollback")

    with socket.socket() as taken:  # bound and not listening: nobody can connect, and nobody else can take the port
        taken.bind(("127.0.0.1", 0))
        talk(f"postgresql+psycopg://me:hunter2@127.0.0.1:{taken.getsockname()[1]}/rampart", work)


def test_a_database_without_tables_is_said(tmp_path: Path) -> None:
    async def work(client: Any) -> None:
        succeeded, said = await call(client, "rollback", rollout="R-1", reason="answers are wrong")
        assert not succeeded
        assert "rollout migrate" in said

    talk(f"sqlite:///{tmp_path / 'new.db'}", work)


def test_a_file_is_checked_by_the_policy_of_the_workspace(database: str, tmp_path: Path) -> None:
    file, policy = tmp_path / "rollout.yaml", tmp_path / "policy.yaml"
    file.write_text(ROLLOUT.replace("percent: 5,", "percent: 40,"))
    policy.write_text("version: 1\nkind: policy\ncanary_percent: {min: 1, max: 50}\n")

    async def refused(client: Any) -> None:
        succeeded, said = await call(client, "lint", file=str(file))
        assert not succeeded
        assert "outside the policy (1% to 5%)" in said

    async def allowed(client: Any) -> None:
        succeeded, said = await call(client, "lint", file=str(file))
        assert succeeded, said

    talk(database, refused)
    with connect(database) as opened:
        apply_text(
            RolloutService(opened), policy.read_text(), "policy.yaml", by=ANA, at=datetime.now(UTC), command_id="p"
        )
    talk(database, allowed)


def test_what_is_wrong_is_said_to_the_agent(database: str, tmp_path: Path) -> None:
    file = tmp_path / "rollout.yaml"
    file.write_text(ROLLOUT.replace("risk: low", "risk: tiny"))

    async def work(client: Any) -> None:
        succeeded, said = await call(client, "lint", file=str(file))
        assert not succeeded
        assert "risk" in said
        succeeded, said = await call(client, "apply", file=str(tmp_path / "missing.yaml"))
        assert not succeeded
        assert "missing.yaml" in said
        assert not (await call(client, "status", rollout="R-99"))[0]
        assert not (await call(client, "rollback", rollout="R-1 now", reason="because"))[0]
        file.write_text(SURFACE.replace("Support assistant", "Another"))
        succeeded, said = await call(client, "apply", file=str(file))
        assert not succeeded
        assert "An agent may plan a rollout, pause it and roll it back, and nothing else." in said

    talk(database, work)


TOKENS = "operator@U0DANA00001:the-token-of-dana,operator:nobodys-token-at-all,flags@U0DANA00001:the-flags-token"


@pytest.fixture
def server(database: str, tmp_path: Path) -> Iterator[Process]:
    """`rollout mcp --http`."""
    machine = Machine(folder=tmp_path, settings={"DATABASE_URL": database, "ROLLOUT_TOKENS": TOKENS})
    try:
        yield machine.start("mcp", options=("--http",))
    finally:
        machine.stop()


@pytest.fixture
def address(server: Process) -> str:
    """Where it answers."""
    return server.url


def talk_over_http(address: str, do: Callable[[Any], Awaitable[None]], token: str = "the-token-of-dana") -> None:
    """Call the tools of a server that runs elsewhere."""

    async def converse() -> None:
        async with (
            asyncio.timeout(120),
            httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False) as connection,
            mcp.Client(
                streamable_http_client(address, http_client=connection),
                client_info=mcp.Implementation(name="Codex", version="1"),
            ) as client,
        ):
            await do(client)

    asyncio.run(converse())


def test_from_another_machine_it_sends_the_text_of_files_and_acts_for_the_person_of_its_token(
    address: str, database: str
) -> None:
    async def work(client: Any) -> None:
        assert " ".join(sorted(tool.name for tool in (await client.list_tools()).tools)) == TOOLS
        assert await call(client, "lint", file=ROLLOUT) == (True, "1 file, no problems found.")
        succeeded, said = await call(client, "lint", file=ROLLOUT.replace("risk: low", "risk: tiny"))
        assert not succeeded
        assert "lint: rollout.yaml:6:7: risk: Input should be" in said, "nothing of the folders there"
        assert (await call(client, "apply", file=ROLLOUT))[1].endswith("rollout R-1: applied")
        start(database)
        assert (await call(client, "rollback", rollout="R-1", reason="answers are wrong"))[0]
        read = await client.read_resource("rampart://rollouts/R-1/history")
        assert "answers are wrong" in read.contents[0].text
        with pytest.raises(mcp.MCPError, match="by its id"):
            await client.read_resource("rampart://rollouts/--help/status")

    talk_over_http(address, work)
    with connect(database) as opened:
        history = RolloutService(opened).load_history("R-1")
    assert {one.actor for one in history if one.actor.startswith("agent:")} == {"agent:codex@U0DANA00001"}


def test_over_http_every_request_needs_the_token_of_a_person_who_may_plan(address: str) -> None:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    for token, status, said in (
        ("", 401, "needs a token"),
        ("another", 401, "not one of ROLLOUT_TOKENS"),
        ("the-flags-token", 403, "may not do this"),
        ("nobodys-token-at-all", 403, "is nobody's"),
    ):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = httpx.post(address, json=asked, headers=headers, timeout=30, trust_env=False)
        assert (answer.status_code, said in answer.text) == (status, True), answer.text


def test_a_rollback_never_waits_behind_what_other_agents_ask(address: str, database: str) -> None:
    async def work(client: Any) -> None:
        assert (await call(client, "apply", file=ROLLOUT))[0]
        start(database)
        asked = [asyncio.create_task(call(client, "plan", file=ROLLOUT)) for _ in range(60)]
        answered = [(await one)[1] for one in asyncio.as_completed(asked)]
        assert any("10 calls wait already, so this one was not begun" in said for said in answered)
        asked = [
            asyncio.create_task(call(client, "simulate", file=ROLLOUT, runs=100, traffic="8000/day")) for _ in range(4)
        ]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        succeeded, said = done.pop().result()
        assert (succeeded, "3 simulations are under way or wait" in said) == (False, True), said
        assert (await call(client, "rollback", rollout="R-1", reason="answers are wrong"))[0]
        for one in asked:
            one.cancel()

    talk_over_http(address, work)


async def await_simulation(server: psutil.Process) -> psutil.Process:
    """The process of a simulation that the server has begun."""
    while True:
        for child in server.children():
            with suppress(psutil.Error):
                if "simulate" in child.cmdline():
                    return child
        await asyncio.sleep(0.05)


def test_what_reads_does_not_wait_for_a_simulation(server: Process, database: str) -> None:
    async def work(client: Any) -> None:
        assert (await call(client, "apply", file=ROLLOUT))[0]
        start(database)
        asked = asyncio.create_task(call(client, "simulate", file=ROLLOUT, runs=100, traffic="8000/day"))
        simulation = await await_simulation(psutil.Process(server.running.pid))
        simulation.suspend()  # it will not be done before what follows, however slow the machine
        assert "R-1" in (await call(client, "status", rollout="R-1"))[1]
        assert (await call(client, "history", rollout="R-1"))[0]
        assert not (await call(client, "evidence", rollout="R-1", number=99))[0]
        assert not asked.done()
        simulation.kill()
        assert not (await asked)[0]

    talk_over_http(server.url, work)


def test_what_runs_apart_says_what_the_command_says(tmp_path: Path) -> None:
    good, wrong = tmp_path / "good.yaml", tmp_path / "wrong.yaml"
    good.write_text(ROLLOUT)
    wrong.write_text(ROLLOUT.replace("risk: low", "risk: tiny"))
    simulations = AgentSimulations()
    assert simulations.run("lint", str(good)) == (0, "1 file, no problems found.\n")
    status, said = simulations.run("lint", str(wrong))
    assert (status, "wrong.yaml:6:7: risk" in said) == (1, True), said
    simulations.end()
    assert simulations.run("lint", str(good)) == (2, "The server ends, so this was not begun.")


def test_asked_to_stop_it_ends_and_a_simulation_with_it(server: Process) -> None:
    begun: list[psutil.Process] = []

    async def work(client: Any) -> None:
        asked = asyncio.create_task(call(client, "simulate", file=ROLLOUT, runs=100, traffic="8000/day"))
        begun.append(await await_simulation(psutil.Process(server.running.pid)))
        assert not (await call(client, "pause", rollout="R-9", reason="there is none"))[0]
        server.ask_to_stop()
        with pytest.raises(mcp.MCPError):
            await asked

    with suppress(BaseExceptionGroup):
        talk_over_http(server.url, work)
    server.running.wait(30)
    psutil.wait_procs(begun, timeout=30)
    assert not begun[0].is_running() or begun[0].status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("how", ["its input ends", "SIGINT", "SIGTERM", "SIGKILL"])
def test_however_it_ends_on_standard_input_no_simulation_goes_on(database: str, tmp_path: Path, how: str) -> None:
    never_written = tmp_path / "rollout.yaml"
    os.mkfifo(never_written)  # a simulation of it waits for ever
    program = shutil.which("rollout", path=str(Path(sys.executable).parent))
    assert program is not None
    environment = {"DATABASE_URL": database, "PATH": os.environ["PATH"]}
    with subprocess.Popen(
        [program, "mcp"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, text=True
    ) as server:
        assert server.stdin is not None
        client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "Codex", "version": "1"}}
        asked = {"name": "simulate", "arguments": {"file": str(never_written)}}
        for message in (
            {"id": 1, "method": "initialize", "params": client},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/call", "params": asked},
        ):
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        server.stdin.flush()
        simulation = asyncio.run(await_simulation(psutil.Process(server.pid)))
        try:
            if how == "its input ends":
                server.stdin.close()
            else:
                server.send_signal(signal.Signals[how])
            server.wait(60)
            assert psutil.wait_procs([simulation], timeout=60)[1] == []
        finally:
            for one in (server, simulation):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
