"""Rampart's processes as an operator starts them, and ends them."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.forks import FORKS, Program
from tests.journey.house import waiting_until
from tests.trials.length import LONG

ROLLOUT = Path(sys.executable).with_name("rollout")
TIMEOUT = 300  # seconds for one command
STARTED = ("Rampart listens on ", "Rampart works.")


def environment(**settings: str) -> dict[str, str]:
    """This test's environment without proxies and without settings of whoever runs it, plus `settings`."""
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "USER", "LOGNAME"}}
    return {**kept, **settings}


def run(
    *arguments: str, stdin: str = "", folder: Path | None = None, installed: bool = LONG, **settings: str
) -> subprocess.CompletedProcess[str]:
    """One command of the `rollout` program, to its end.

    Forked from a process that has loaded the program, which most of a command's time goes into. The `installed` one
    where that is asked for, in the long form, and where `settings` are Python's own.
    """
    if not installed and _may_be_forked(settings):
        return _forked(arguments, stdin, folder, settings)
    return subprocess.run(
        [ROLLOUT, *arguments],
        env=environment(**settings),
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def _may_be_forked(settings: Iterable[str]) -> bool:
    """Whether none of these settings is one that an interpreter only reads as it starts."""
    return not any(name.startswith(("PYTHON", "LC_", "LD_")) for name in settings)


def _forked(
    arguments: tuple[str, ...], stdin: str, folder: Path | None, settings: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    from tests.journey import forked

    with tempfile.TemporaryDirectory() as place:
        read, out, err = (Path(place) / name for name in ("in", "out", "err"))
        read.write_text(stdin)
        command = forked.Command(
            arguments=arguments,
            environment=environment(**settings),
            folder=str(folder or Path.cwd()),
            streams=(str(read), str(out), str(err)),
        )
        running = FORKS.Process(target=forked.carry_out, args=(command,))
        running.start()
        running.join(TIMEOUT)
        if running.exitcode is None:
            running.kill()
            running.join()
            raise subprocess.TimeoutExpired(list(arguments), TIMEOUT, out.read_text(), err.read_text())
        return subprocess.CompletedProcess(list(arguments), running.exitcode, out.read_text(), err.read_text())


@contextmanager
def reserved_ports(many: int = 1) -> Iterator[int]:
    """The first of so many ports in a row, each bound here and not listened on: nobody is given them by chance, and a
    process that asks for one by its number may listen there, die, and be succeeded."""
    with ExitStack() as held:
        while True:
            with ExitStack() as trying:
                try:
                    first = _bound(trying, 0)
                    for further in range(1, many):
                        _bound(trying, first + further)
                except (OSError, OverflowError):  # one of those after it is taken, or there is none
                    continue
                held.enter_context(trying.pop_all())
                break
        yield first


def _bound(until: ExitStack, port: int) -> int:
    taken = until.enter_context(socket.socket())
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", port))
    return int(taken.getsockname()[1])


@dataclass(slots=True)
class Process:
    """One running `rollout serve`, `web` or `worker`; `url` is its base URL, if it has one."""

    role: str
    log: Path
    running: "subprocess.Popen[bytes] | Program"
    url: str = ""

    def wait_started(self) -> None:
        """Until it says that it works, or answers."""
        waiting_until(self._has_started, lambda: f"{self.role} starts\n{self.said()}", within=60)
        line = next(x for x in self.said().splitlines() if x.startswith(STARTED))
        self.url = line.removeprefix(STARTED[0]) if line.startswith(STARTED[0]) else ""

    def _has_started(self) -> bool:
        assert self.running.poll() is None, f"{self.role} ended with {self.running.poll()}:\n{self.said()}"
        return any(line.startswith(STARTED) for line in self.said().splitlines())

    @property
    def lives(self) -> bool:
        return self.running.poll() is None

    def said(self) -> str:
        return self.log.read_text()

    def kill(self) -> None:
        """As the kernel does it when memory is short: no goodbye."""
        self.running.kill()
        self.running.wait()

    def ask_to_stop(self) -> None:
        self.running.send_signal(signal.SIGTERM)


@dataclass(slots=True)
class Machine:
    """Where processes run, `installed` or forked as by `run`; `stop` ends those that are left."""

    folder: Path
    settings: dict[str, str]
    installed: bool = LONG
    started: list[Process] = field(default_factory=list)

    def start(self, role: str, *, port: int = 0, options: Sequence[str] = ()) -> Process:
        """Start one, and wait until it works."""
        log = self.folder / f"{role}-{len(self.started)}.log"
        env = environment(**self.settings, PORT=str(port))
        process = Process(role=role, log=log, running=self._start((role, *options), env, log))
        self.started.append(process)
        process.wait_started()
        return process

    def _start(self, arguments: tuple[str, ...], env: dict[str, str], log: Path) -> "subprocess.Popen[bytes] | Program":
        if self.installed or not _may_be_forked(self.settings):
            with log.open("wb") as out:
                return subprocess.Popen([ROLLOUT, *arguments], env=env, stdout=out, stderr=subprocess.STDOUT)
        from tests.journey import forked

        streams = (os.devnull, str(log), str(log))
        log.touch()
        command = forked.Command(arguments=arguments, environment=env, folder=str(Path.cwd()), streams=streams)
        running = FORKS.Process(target=forked.carry_out, args=(command,), daemon=True)
        running.start()
        return Program(running)

    def stop(self) -> None:
        for process in self.started:
            if process.lives:
                process.kill()


def post(url: str, path: str, body: str | dict[str, object], *, key: str = "", within: float = 20) -> httpx.Response:
    """Send a file or JSON, under an Idempotency-Key if there is one; answered `within` so many seconds."""
    headers = {"idempotency-key": key} if key else {}
    sent = {"json": body} if isinstance(body, dict) else {"content": body}
    return httpx.post(f"{url}{path}", headers=headers, trust_env=False, timeout=within, **sent)  # type: ignore[arg-type]
