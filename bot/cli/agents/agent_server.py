"""`rollout mcp`: a server of the Model Context Protocol, by which coding agents prepare, pause and roll back."""

import logging
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

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
_UNNAMED = re.compile(r"[^a-z0-9._-]+")


def add_to(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command(name="mcp")(serve_agents)


def serve_agents(
    agent: Annotated[str, typer.Option(help="The agent's name in the log, if it does not give one.")] = "agent",
    person: Annotated[
        str, typer.Option(help="Slack id (U…) of whom the agent acts for; by default, who is logged in.")
    ] = "",
) -> None:
    """Serve a coding agent on standard input and output (Model Context Protocol). It may prepare, pause and roll back;
    approving, starting and advancing stay with people."""
    try:
        from mcp.server import MCPServer
    except ModuleNotFoundError:
        print("The package mcp is not installed. In the checkout, run: pip install -e '.[mcp]'", file=sys.stderr)
        raise SystemExit(2) from None
    if person and not is_slack_user_id(person):
        print(f"--person is {person!r}: write a Slack user id, as in U0DANA00001.", file=sys.stderr)
        raise SystemExit(2)
    _log_to_standard_error()
    build_agent_server(MCPServer, agent, person).run("stdio")


def build_agent_server(make_server: "type[MCPServer]", agent: str, person: str) -> "MCPServer":
    """The server with its tools. `person` is the Slack id of whom the agent acts for; empty: who is logged in."""
    from mcp.server.mcpserver import Context

    from bot.cli.agents import agent_tools

    server = make_server("rampart", instructions=_INSTRUCTIONS)
    for tool in agent_tools.TOOLS:
        server.add_tool(
            _bind_tool(tool, agent, person, Context),
            name=tool.__name__,
            description=tool.__doc__,
            annotations=_describe_effect(tool.__name__),
        )
    return server


def _log_to_standard_error() -> None:
    """Standard output belongs to the protocol, and what is printed by a command while it is caught to its answer."""
    from bot.process.redaction import RedactingFormatter

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


def _bind_tool(tool: Any, agent: str, person: str, context_class: Any) -> Any:
    """The tool as the protocol's library calls it: with the context of the call, and under the agent's name."""
    import functools
    import inspect

    from mcp.server.mcpserver.exceptions import ToolError

    from bot.cli.agents import agent_tools

    @functools.wraps(tool)
    def call(*arguments: Any, mcp_context: Any, **named: Any) -> str:
        params = mcp_context.session.client_params
        given = params.client_info.name if params is not None else ""
        with session.acting_as(name_agent(given, agent, person)):
            try:
                return str(tool(*arguments, **named))
            except agent_tools.ToolRefused as refused:
                raise ToolError(str(refused)) from None
            except Exception as error:  # noqa: BLE001 - the agent is told, and the server goes on
                why = explain_failure(error)
                if why is None:
                    _log.exception("The tool %s failed", tool.__name__)
                    why = f"An error of Rampart ({type(error).__name__}), which its log describes."
                unknown = tool.__name__ in agent_tools.CHANGING
                raise ToolError(f"{why}{_UNCERTAIN if unknown else ''}") from None

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
