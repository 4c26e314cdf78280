"""Cases of an eval run read and judged in a CPU-second, and the memory it takes, by the command of CI."""

import csv
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort

CASES = 50_000
GOAL = 50_000.0  # cases a second
SAMPLE = Path(__file__).parents[2] / "tests" / "evals" / "samples" / "promptfoo.json"
_PLAN = """\
version: 1
rollout: tone
surface: support-assistant
owner: "@dana"
risk: low
change:
  from: v42
  to: {prompt: new}
stages:
  - eval: {min_pass_rate: 90%, compare_to_current: true}
  - canary: {percent: 5, min_hold: 1h}
  - ramp: {steps: [100%], hold: 1h}
  - bake: {hold: 1h}
rollback_when:
  - {metric: eval_pass_rate, drops_by: 3pp}
"""
# the command as it runs in CI, told to print at its end the seconds it computed and its largest resident memory
_COMMAND = """
import pathlib, sys, time
from bot.cli import main
began = time.process_time()
try:
    main()
except SystemExit as end:
    if end.code:
        raise
lines = pathlib.Path("/proc/self/status").read_text().splitlines()
used = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
print(time.process_time() - began, used, file=sys.stderr)
"""


def measure(effort: Effort) -> Iterator[Figure]:
    """Half of the cases are the current version's, so that both are compared case by case."""
    cases = effort.some(CASES)
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.yaml"
        plan.write_text(_PLAN, encoding="utf-8")
        for name, ending, write in (("promptfoo JSON", "json", _promptfoo), ("CSV", "csv", _csv)):
            results = Path(folder) / f"results.{ending}"
            results.write_text(write(cases), encoding="utf-8")
            found = [_check(results, plan) for _ in range(effort.rounds)]
            said = f"{name} of {results.stat().st_size / 1024**2:.0f} MB"
            rate = cases / median(seconds for seconds, _ in found)
            yield Figure(name=f"eval cases read and judged, {said}", ours=rate, unit="cases/s", goal=GOAL)
            yield Figure(
                name=f"… largest memory of that process, {name}", ours=median(used for _, used in found), unit="MB"
            )
            if ending == "json":
                yield Figure(
                    name="… beside Python's json.loads alone",
                    ours=rate,
                    peer=_parse_alone(results, cases),
                    unit="cases/s",
                )


def _check(results: Path, plan: Path) -> tuple[float, float]:
    """(CPU-seconds, MB) of one `rollout evals check`, without the start of Python."""
    arguments = ("evals", "check", str(results), "--plan", str(plan))
    done = subprocess.run([sys.executable, "-c", _COMMAND, *arguments], capture_output=True, text=True, check=True)
    seconds, used = done.stderr.split()[-2:]
    return float(seconds), float(used)


def _parse_alone(results: Path, cases: int) -> float:
    """Cases a CPU-second that the standard library's parser alone gets through, with nothing made of them."""
    text = results.read_text(encoding="utf-8")
    began = time.process_time()
    json.loads(text)
    return cases / (time.process_time() - began)


def _promptfoo(cases: int) -> str:
    """A document as promptfoo writes it, each case with a question of two hundred characters."""
    document = json.loads(SAMPLE.read_text(encoding="utf-8"))
    passing = {row["prompt"]["label"]: row for row in document["results"]["results"] if row["success"]}
    rows = []
    for number in range(cases // 2):
        variables = {"question": f"{number} " + "how do I get my money back? " * 7}
        for row in passing.values():
            test = {**row["testCase"], "description": f"case-{number}", "vars": variables}
            rows.append({**row, "testCase": test, "vars": variables, "testIdx": number})
    document["results"]["results"] = rows
    document["results"]["stats"].update(successes=len(rows), failures=0, errors=0)
    return json.dumps(document)


def _csv(cases: int) -> str:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(("case", "category", "pass", "version", "cost", "latency_ms"))
    for number in range(cases // 2):
        for version in ("v42", "v43"):
            table.writerow((f"case-{number}", "billing", "true", version, "0.002", 900 + number % 300))
    return text.getvalue()
