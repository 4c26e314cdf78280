"""Seconds from `rollout demo` to a page that shows a rollout under way."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

import httpx

from bench.measuring import processes
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort

GOAL = 8.0
GIVE_UP = 60.0
CARD = "Small test"  # how the card of a rollout in its canary begins


def measure(effort: Effort) -> Iterator[Figure]:
    """From the start of the process; set-up has been done before."""
    found = [_once() for _ in range(effort.demo_starts)]
    for place, name in enumerate(("first byte of its page", "page shows a rollout under way")):
        goal = GOAL if place else None
        yield Figure(
            name=f"rollout demo: {name}",
            ours=median(one[place] for one in found),
            unit="s",
            goal=goal,
            better="less",
        )


def _once() -> tuple[float, float]:
    """Seconds to (the page, the rollout on it)."""
    port = processes.free_port()
    began = time.monotonic()
    process = subprocess.Popen(
        [str(processes.ROLLOUT), "demo", "--port", str(port)],
        cwd=processes.ROOT,
        env={**processes.clean_environment(), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
    )
    try:
        page, api = _addresses(process)
        with httpx.Client(trust_env=False, follow_redirects=True) as client:
            client.get(page).raise_for_status()
            shown = time.monotonic() - began
            while time.monotonic() - began < GIVE_UP:
                if _under_way(client, page, api):
                    return shown, time.monotonic() - began
                time.sleep(0.05)
        raise TimeoutError(f"no rollout was under way within {GIVE_UP:.0f} s")
    finally:
        processes.stop(process)
        assert process.stdout is not None
        process.stdout.close()


def _addresses(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """(the page, the bot's API), as the demo prints them."""
    assert process.stdout is not None
    page = ""
    for line in process.stdout:
        if found := re.search(r"Open (http\S+)", line):
            page = found[1]
        if found := re.search(r"API: (http\S+)", line):
            return page, found[1]
    raise RuntimeError(f"the demo ended with status {process.wait()}; what it said stands above")


def _under_way(client: httpx.Client, page: str, api: str) -> bool:
    rollouts = client.get(f"{api}/api/v1/rollouts").json()["rollouts"]
    if not any(one["state"] == "running" for one in rollouts):
        return False
    screen = client.get(f"{page.rstrip('/')}/sandbox/look", params={"as": "ana", "channel": "ai-rollouts"}).json()
    return CARD in screen["messages"]
