"""One command of the `rollout` program to its end, in a process that has loaded the program already."""

import os
import sys
import time
from dataclasses import dataclass
from importlib import import_module

import bot.cli

# What the commands load as they go along; here before the fork, once for all.
for _name in (
    "bot.startup.app",
    "bot.doctor",
    "bot.rendering.numbers.latest_numbers",
    "bot.rendering.answers.planning.simulation",
    "bot.slack.manifest",
    "core.service.replay",
    "core.simulation.recorded",
    "core.simulation.study",
    "core.files.foresight.detection",
    "core.store.audit.backup",
    "core.store.audit.export",
    "core.store.audit.verify",
):
    import_module(_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What was typed, and the files in the place of standard input, output and error."""

    arguments: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    streams: tuple[str, str, str]


def carry_out(command: Command) -> None:
    """Never returns where the command ends with a status."""
    for number, path in enumerate(command.streams):
        file = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1)
    os.environ.clear()
    os.environ.update(command.environment)
    time.tzset()
    os.chdir(command.folder)
    sys.argv = ["rollout", *command.arguments]
    bot.cli.main()
