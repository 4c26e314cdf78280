"""Commands that run for long: serve, web, worker, demo; and those that prepare and examine them."""

import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer

from bot.cli import session
from bot.demo.traffic import SCENARIOS
from core.files.templates import TEMPLATES

Port = Annotated[int | None, typer.Option(help="Port to listen on (default: PORT, or 8300).")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(serve)
    app.command()(web)
    app.command()(worker)
    app.command()(migrate)
    app.command()(demo)
    app.command()(doctor)
    app.command()(openapi)
    app.add_typer(slack, name="slack")


slack = typer.Typer(help="The Slack app.", no_args_is_help=True)


def serve(port: Port = None) -> None:
    """Run web and worker in one process, for one machine with SQLite."""
    _run_role("serve", port)


def web(port: Port = None) -> None:
    """Serve OFREP, observations, REST and Slack. Run as many as you like on Postgres."""
    _run_role("web", port)


def worker() -> None:
    """Take looks, deliver messages and confirm rollbacks. Run as many as you like on Postgres."""
    _run_role("worker", None)


def _run_role(role: str, port: int | None) -> None:
    from bot.log_output import log_lines
    from bot.startup import app

    settings = session.load_settings(listens=role != "worker")
    if port is not None:
        settings = replace(settings, port=port)
    program = app.build_program(settings, role)  # type: ignore[arg-type]

    def print_address(url: str) -> None:
        lines = log_lines.LogPrinter()
        lines.msg(f"Rampart listens on {url}" if url else "Rampart works.")
        if not settings.has_slack:
            lines.msg("SLACK_BOT_TOKEN is not set: messages to Slack wait in the outbox.")

    program.run(print_address)
    log_lines.flush_streams()
    # Not `sys.exit`: a hanging call to Slack would keep the process alive. The next process repeats the call.
    os._exit(0)


def migrate(
    app_role: Annotated[
        str, typer.Option(help="A Postgres role for the other processes, which then can only add to the log.")
    ] = "",
) -> None:
    """Create or upgrade the tables of DATABASE_URL."""
    from core.store.database.connections import connect
    from core.store.database.postgres import postgres_roles
    from core.store.maintenance import checkpointing
    from core.store.schema import migrations
    from core.store.world.world_cache import WorldCache

    with connect(session.load_settings().database_url) as database:
        migrations.migrate(database)
        print("The database is up to date.")
        now = datetime.now(UTC)
        checkpointing.take_if_due(database, WorldCache(database), by="system:migrate", at=now, recorded_at=now)
        if app_role:
            with database.writing() as connection:
                postgres_roles.grant_append_only(connection, app_role)
            print(
                f"{app_role} can read the log and add to it, but not change it: run the other processes as {app_role}."
            )


MOST_DEMO_SPEED = 1_000_000
"""How much faster than real time a demonstration may be asked to run: far more than any machine plays."""


def demo(
    scenario: Annotated[
        str | None, typer.Option(help=f"{', '.join(SCENARIOS)}; refusals, or healthy with a template.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(help=f"Play the whole plan of a template: {', '.join(TEMPLATES)}.")
    ] = None,
    headless: Annotated[bool, typer.Option(help="Print everything said in Slack, and exit when it is over.")] = False,
    speed: Annotated[
        float | None,
        typer.Option(help="How much faster than real time the rollout's clock runs: 30, or as a template needs it."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port of the page with the sandbox Slack.")] = 8300,
) -> None:
    """Watch a rollout happen, with a Slack for the laptop, the bot, and an AI feature with simulated users."""
    from bot.demo import play, template_plays

    if speed is not None and not 0 < speed <= MOST_DEMO_SPEED:
        print(f"--speed is {speed:g}: write how many times faster, at most {MOST_DEMO_SPEED:,}.", file=sys.stderr)
        raise SystemExit(2)
    chosen = scenario or ("healthy" if template is not None else "refusals")
    try:
        ended_well = play.run_scenario(chosen, headless=headless, speed=speed, port=port, template=template)
    except (play.UnknownScenario, template_plays.UnknownTemplate) as unknown:
        print(unknown, file=sys.stderr)
        raise SystemExit(2) from None
    raise SystemExit(0 if ended_well else 1)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check settings, database, log and Slack, and say how to fix what is wrong."""
    from bot import doctor as examination

    findings = examination.examine_installation(session.load_settings(listens=True))
    if as_json:
        print(json.dumps([f.to_json() for f in findings], indent=2))
    else:
        for finding in findings:
            print(finding.format_line())
    raise SystemExit(0 if all(f.ok for f in findings) else 1)


def openapi() -> None:
    """Print the OpenAPI document of the HTTP API."""
    import asyncio
    import tempfile

    import httpx

    from bot.settings import Settings
    from bot.startup import app

    async def fetch_document() -> str:
        assert program.asgi is not None
        transport = httpx.ASGITransport(app=program.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://rampart") as client:
            return (await client.get("/openapi.json")).text

    with tempfile.TemporaryDirectory() as folder:
        program = app.build_program(Settings(database_url=f"sqlite:///{folder}/empty.db"), "serve")
        print(json.dumps(json.loads(asyncio.run(fetch_document())), indent=2))
        program.database.close()


@slack.command()
def manifest(
    link: Annotated[bool, typer.Option(help="A link that creates the app with this manifest.")] = False,
) -> None:
    """Print the manifest of the Slack app: paste it at api.slack.com/apps, or open the link."""
    from bot.slack import manifest as manifests

    url = session.load_settings().public_url
    print(manifests.build_install_link(url) if link else json.dumps(manifests.build_manifest(url), indent=2))
