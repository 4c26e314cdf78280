"""Servers in processes of their own: started, asked whether they answer, and stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parents[2]
ROLLOUT = Path(sys.executable).parent / "rollout"
START_WITHIN = 60  # seconds
_OURS = ("DATABASE_URL", "SLACK_", "ROLLOUT_", "HOST", "PORT", "LOG_FORMAT")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that answers at `url`."""

    url: str
    process: psutil.Process

    @property
    def cpu_seconds(self) -> float:
        """CPU time it has used so far."""
        used = self.process.cpu_times()
        return float(used.user + used.system)

    @property
    def megabytes(self) -> float:
        """Its resident memory."""
        return float(self.process.memory_info().rss / 1e6)


@contextmanager
def rampart(role: str, database_url: str, **environment: str) -> Iterator[Running]:
    """`rollout serve` or `rollout web`, as it is run in earnest."""
    port = free_port()
    settings = {"DATABASE_URL": database_url, "PORT": str(port), "HOST": "127.0.0.1", **environment}
    with _running([str(ROLLOUT), role], port, "/readyz", settings) as found:
        yield found


@contextmanager
def worker(database_url: str, **environment: str) -> Iterator[psutil.Process]:
    """`rollout worker` as in the Procfile, once it works."""
    settings = {"DATABASE_URL": database_url, **environment}
    process = subprocess.Popen(
        ["nice", "-n", "5", str(ROLLOUT), "worker"],
        cwd=ROOT,
        env={**clean_environment(), **settings},
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline().startswith("Rampart works"):
            raise RuntimeError(f"the worker ended with status {process.wait()}; what it said stands above")
        yield psutil.Process(process.pid)
    finally:
        stop(process)
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def peer(module: str) -> Iterator[Running]:
    """A server of `bench/peers` under our own interpreter; it is given the port to listen on."""
    port = free_port()
    with _running([sys.executable, "-m", f"bench.peers.{module}", str(port)], port, "/", {}) as found:
        yield found


def clean_environment() -> dict[str, str]:
    """The environment without what would change the program: its own settings, and proxies."""
    kept = {k: v for k, v in os.environ.items() if k.upper() not in _PROXIES}
    return {k: v for k, v in kept.items() if not k.startswith(_OURS)}


@contextmanager
def _running(command: list[str], port: int, path: str, settings: Mapping[str, str]) -> Iterator[Running]:
    process = subprocess.Popen(
        command, cwd=ROOT, env={**clean_environment(), **settings}, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _until_it_answers(process, url + path)
        yield Running(url=url, process=psutil.Process(process.pid))
    finally:
        stop(process)


def stop(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    """End it as a supervisor would."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until_it_answers(process: "subprocess.Popen[bytes]", url: str) -> None:
    give_up = time.monotonic() + START_WITHIN
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < give_up:
            if process.poll() is not None:
                raise RuntimeError(
                    f"{process.args!r} ended with status {process.returncode}; what it said stands above"
                )
            try:
                if client.get(url).status_code < 500:
                    return
            except httpx.TransportError:
                time.sleep(0.02)
    raise TimeoutError(f"{url} did not answer within {START_WITHIN} s")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
