"""Loaded by the process that others are forked from, last and only there: what is computed once is inherited by all."""

import gc
import tempfile

import bot.startup.app
from bot.settings import Settings
from core.store.database.connections import connect
from core.store.schema import migrations


def _build_once() -> None:
    """The whole program, on a database that is thrown away: statements and templates are compiled then."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/rollout.db"
        with connect(url) as database:
            migrations.migrate(database)
        settings = Settings(
            database_url=url,
            port=0,
            slack_bot_token="xoxb-nobody",
            slack_signing_secret="nobody",
            slack_api_url="http://127.0.0.1:1/",
        )
        program = bot.startup.app.build_program(settings, "serve")
        program.service.load_world()
        program.stop()


_build_once()
gc.collect()
gc.freeze()  # or every child would look through all of it, and so copy it
