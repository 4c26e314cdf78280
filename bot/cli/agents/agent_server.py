"""`rollout mcp`: a server of the Model Context Protocol, by which coding agents prepare, pause and roll back."""

import logging
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from bot.cli import session
from bot.cli.failures import build_redactor, explain_failure
from core.rollout.context import Actor, is_slack_user_id

if TYPE_CHECKING:
    from mcp.server import MCPServer

_log = logging.getLogger(__name__)
_INSTRUCTIONS = (
    "Rampart rolls out changes of AI features in stages, and rolls back when agreed limits are broken. Write a rollout "
    "file, check it with lint, plan and simulate, and apply it: it is then planned, and people approve and start it. "
    "You may pause and roll back at any time, and should when in doubt. You cannot approve, start or advance: ask a "
    "person."
)
_UNCERTAIN = " It may not have been carried out: look at the status, and tell a person if you cannot."
NameCaller: TypeAlias = Callable[[str, Mapping[str, str]], Actor]
"""The name that an agent's program gives, and the headers of its request (none on standard input) -> who acts."""

_UNNAMED = re.compile(r"[^a-z0-9._-]+")


def add_to(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command(name="mcp")(serve_agents)


def serve_agents(
    agent: Annotated[str, typer.Option(help="The agent's name in the log, if it does not give one.")] = "agent",
    person: Annotated[
        str, typer.Option(help="Slack id (U…) of whom the agent acts for; by default, who is logged in.")
    ] = "",
    http: Annotated[
        bool, typer.Option("--http", help="Answer on HOST and PORT at /mcp; whose agent calls is known by its token.")
    ] = False,
) -> None:
    """Serve coding agents (Model Context Protocol), on standard input and output or over HTTP. They may prepare, pause
    and roll back; approving, starting and advancing stay with people."""
    try:
        from mcp.server import MCPServer
    except ModuleNotFoundError:
        print("The package mcp is not installed. In the checkout, run: pip install -e '.[mcp]'", file=sys.stderr)
        raise SystemExit(2) from None
    _log_to_standard_error()
    if http:
        if person:
            print("--person is for one agent on standard input. Over HTTP each token is a person's.", file=sys.stderr)
            raise SystemExit(2)
        from bot.cli.agents import agent_http

        agent_http.serve(MCPServer, agent)
        return
    if person and not is_slack_user_id(person):
        print(f"--person is {person!r}: write a Slack user id, as in U0DANA00001.", file=sys.stderr)
        raise SystemExit(2)
    from bot.cli.agents.agent_tools import SIMULATIONS

    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, _exit_at_once)
    threading.Thread(target=_await_end, args=(os.dup(0), SIMULATIONS.end), daemon=True).start()
    try:
        build_agent_server(MCPServer, lambda name, _: name_agent(name, agent, person)).run("stdio")
    finally:
        SIMULATIONS.end()


def _exit_at_once(number: int, _: object) -> None:
    """End by a signal. Otherwise an interrupt would wait for the next line of standard input, which may never come."""
    os._exit(128 + number)


def _await_end(input_file: int, end: Callable[[], None]) -> None:
    """Call `end` once nobody can write to `input_file`, a pipe or a socket: the server would wait for its calls."""
    poll = select.poll()
    poll.register(input_file, 0)  # of nothing but its end
    if poll.poll():
        end()


def build_agent_server(
    make_server: "type[MCPServer]", name_caller: NameCaller, *, are_files_here: bool = True
) -> "MCPServer":
    """The server with its tools and resources.

    `name_caller` says who acts, from the name that the agent's program gives and the headers of a request over HTTP.
    `are_files_here` is False if an agent's files are on another machine, so that tools take their text.
    """
    from mcp.server.mcpserver import Context
    from mcp.server.mcpserver.exceptions import ResourceError, ToolError

    from bot.cli.agents import agent_tools

    server = make_server("rampart", instructions=_INSTRUCTIONS)
    for tool in agent_tools.TOOLS:
        taken = tool if are_files_here else _take_text(tool)
        server.add_tool(
            _bind_tool(taken, name_caller, Context, ToolError),
            name=tool.__name__,
            description=tool.__doc__,
            annotations=_describe_effect(tool.__name__),
        )
    for name, read in agent_tools.RESOURCES.items():
        add = server.resource(
            f"rampart://rollouts/{{rollout}}/{name}", name=name, description=read.__doc__, mime_type="text/plain"
        )
        add(_bind_tool(_read_by_id(name), name_caller, Context, ResourceError))
    return server


def _read_by_id(name: str) -> Callable[[str], str]:
    from bot.cli.agents import agent_tools

    def read(rollout: str) -> str:
        return agent_tools.read_resource(name, rollout)

    return read


def _take_text(tool: Any) -> Any:
    """The tool with the text of a file in place of its path; one that takes no file as it is."""
    import functools
    import inspect

    from bot.cli.agents import agent_tools

    signature = inspect.signature(tool, eval_str=True)
    if "file" not in signature.parameters:
        return tool

    @functools.wraps(tool)
    def call(file: str, **more: Any) -> str:
        return agent_tools.run_on_text(tool, file, **more)

    parameters = [
        one.replace(annotation=agent_tools.FileText) if one.name == "file" else one
        for one in signature.parameters.values()
    ]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {**inspect.get_annotations(tool, eval_str=True), "file": agent_tools.FileText}
    return call


def _log_to_standard_error() -> None:
    """Standard output belongs to the protocol, and what is printed by a command while it is caught to its answer."""
    from bot.log_output.redaction import RedactingFormatter

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter(build_redactor()))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def name_agent(given: str, fallback: str, person: str) -> Actor:
    """Who acts: the agent by the name that its program gives, for a person."""
    name = _UNNAMED.sub("-", (given or fallback).lower()).strip("-")[:40] or "agent"
    if person:
        return Actor(id=f"agent:{name}@{person}", handle=f"{name} for {person}")
    login = session.login_name()
    return Actor(id=f"agent:{name}/{login}", handle=f"{name} for {login}")


def _bind_tool(tool: Any, name_caller: NameCaller, context_class: Any, failure: type[Exception]) -> Any:
    """The tool as the protocol's library calls it: with the context of the call, and under the agent's name. It raises
    `failure` with what the agent is told."""
    import functools
    import inspect

    from bot.cli.agents import agent_tools

    @functools.wraps(tool)
    def call(*arguments: Any, mcp_context: Any, **named: Any) -> str:
        params = mcp_context.session.client_params
        given = params.client_info.name if params is not None else ""
        with session.acting_as(name_caller(given, mcp_context.headers or {})):
            try:
                return str(tool(*arguments, **named))
            except agent_tools.ToolRefused as refused:
                raise failure(str(refused)) from None
            except Exception as error:  # noqa: BLE001 - the agent is told, and the server goes on
                why = explain_failure(error)
                if why is None:
                    _log.exception("The tool %s failed", tool.__name__)
                    why = f"An error of Rampart ({type(error).__name__}), which its log describes."
                unknown = tool.__name__ in agent_tools.CHANGING
                raise failure(f"{why}{_UNCERTAIN if unknown else ''}") from None

    signature = inspect.signature(tool, eval_str=True)
    parameter = inspect.Parameter("mcp_context", inspect.Parameter.KEYWORD_ONLY, annotation=context_class)
    call.__signature__ = signature.replace(parameters=[*signature.parameters.values(), parameter])  # type: ignore[attr-defined]
    call.__annotations__ = {**inspect.get_annotations(tool, eval_str=True), "mcp_context": context_class}
    return call


def _describe_effect(name: str) -> Any:
    """What a program may tell its user of a tool before it calls it."""
    from mcp.types import ToolAnnotations

    from bot.cli.agents import agent_tools

    return ToolAnnotations(
        read_only_hint=name not in agent_tools.CHANGING,
        destructive_hint=False,
        idempotent_hint=True,
        open_world_hint=False,
    )
