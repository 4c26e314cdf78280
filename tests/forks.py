"""Where the processes of tests are forked from one that has loaded the whole program and done nothing yet."""

import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TextIO

_LOADED = ("tests.journey.forked", "tests.trials.faults.newborn", "tests.trials.faults.laborer", "tests.warm")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(list(_LOADED))


@dataclass(slots=True)
class Program:
    """A running program, with the methods of `subprocess.Popen` that tests use."""

    running: BaseProcess
    stdout: TextIO | None = None

    @property
    def pid(self) -> int:
        assert self.running.pid is not None
        return self.running.pid

    def poll(self) -> int | None:
        """Its status as `subprocess` gives it, minus the signal's number if one killed it; None while it runs."""
        return self.running.exitcode

    def wait(self, timeout: float = 60) -> int:
        """Its status once it has ended; TimeoutExpired if it has not within so many seconds."""
        self.running.join(timeout)
        if self.running.exitcode is None:
            raise subprocess.TimeoutExpired(self.running.name, timeout)
        return self.running.exitcode

    def read_rest(self, timeout: float) -> str:
        """What it prints until it ends, which is at most so many seconds after it has closed its output."""
        assert self.stdout is not None
        with self.stdout:
            printed = self.stdout.read()
        self.wait(timeout)
        return printed

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to a program that has not ended."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """As the kernel does it when memory is short."""
        self.running.kill()


def start_program(module: str, *arguments: str, is_read: bool = False) -> Program:
    """Start `python -m <module> <arguments>` as a fork, which spares a second of loading the program.

    What it prints is lost unless it `is_read`.
    """
    told, tell = FORKS.Pipe(duplex=False)
    with told, tell:
        running = FORKS.Process(
            target=_run_main, args=(module, arguments, tell if is_read else None), name=module, daemon=True
        )
        running.start()
        return Program(running, os.fdopen(os.dup(told.fileno()), encoding="utf-8") if is_read else None)


def _run_main(module: str, arguments: tuple[str, ...], output: Connection | None) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY) if output is None else output.fileno(), 1)
    if output is not None:
        output.close()
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", buffering=1)
    sys.argv = [module, *arguments]
    import_module(module).main()
