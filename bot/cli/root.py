"""All commands of the program. What a command needs is imported when it runs, so that `--help` is fast."""

from typing import Annotated

import typer

from bot.cli import backup, customers, processes, verb_commands
from bot.cli.agents import agent_server
from bot.cli.audit import audit_commands
from bot.cli.files import drives_check, eval_commands, file_commands, simulating, sources

app = typer.Typer(
    name="rollout",
    help="Roll out AI changes (a prompt, a model, tools, routing) without surprising anyone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"token_normalize_func": str.lower},  # accepts ROLLBACK, too
)


@app.command(name="help")
def show_help(
    command: Annotated[list[str] | None, typer.Argument(help="A command; without one, all of them are listed.")] = None,
) -> None:
    """Show what a command does, as `--help` after it does."""
    app([*(command or ()), "--help"], prog_name="rollout")


processes.add_to(app)
file_commands.add_to(app)
eval_commands.add_to(app)
sources.add_to(app)
drives_check.add_to(app)
simulating.add_to(app)
audit_commands.add_to(app)
backup.add_to(app)
customers.add_to(app)
verb_commands.add_to(app)
agent_server.add_to(app)
