"""Break the core in small ways, one at a time, and list what no test notices. Run by hand: `make mutants`.

A change that survives is a question, not a verdict: a test may be missing, or the change makes no difference. Each part
of the core is tried by the tests that are about it: what survives here may still be noticed by the rest of `make test`.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.modules import find_modules
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkItem, WorkResult

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"
TESTS = {  # of each part of the core, the quickest first: the first failure ends the run
    "core/stats": "tests/stats tests/judging/test_bars.py tests/judging/test_verdicts.py tests/judging/test_horizon.py",
    "core/judging": "tests/judging/test_bars.py tests/judging/test_limits.py tests/judging",
    "core/flags": "tests/flags tests/rollout/test_conversations.py tests/http/test_ofrep.py",
    "core/evals": "tests/evals tests/judging/test_eval_gate.py tests/rollout/test_eval_results.py",
    "core/rollout": "tests/rollout tests/files tests/rendering tests/service",
}
# Where a type is written as `A | None`, another operator in its place breaks the import and says nothing about tests.
LEFT_OUT = ("core/ReplaceBinaryOperator_BitOr_", "core/RemoveDecorator")
PATIENCE = 1200.0
"""Seconds for the tests of one change; what takes longer counts as noticed."""


def main() -> None:
    """Try `--most` changes in each part, and print those that survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=TESTS, default=list(TESTS), help="parts of the core")
    parser.add_argument("--most", type=int, default=12, help="changes tried in each part")
    parser.add_argument("--seed", type=int, default=1, help="which changes those are")
    asked = parser.parse_args()
    survived = 0
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "rampart"
        _copy_program(copy)
        for part in asked.only:
            for item, result in _try_part(part, copy, asked.most, asked.seed):
                noticed = result.test_outcome is not TestOutcome.SURVIVED
                survived += not noticed
                print(f"{'noticed ' if noticed else 'SURVIVED'} {_name_place(item)}", flush=True)
                if not noticed:
                    print("\n".join(f"    {line}" for line in _changed_lines(result.diff or "")), flush=True)
    print(f"{survived} survived")


def _copy_program(copy: Path) -> None:
    """What git knows of, in another folder: this one is never changed."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)


def _try_part(part: str, copy: Path, most: int, seed: int) -> Iterator[tuple[WorkItem, WorkResult]]:
    command = f"{PYTHON} -m pytest -x -q -n 0 -p no:cacheprovider --inline-snapshot disable {TESTS[part]}"
    compiling = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # the runs to come only read what was compiled
    whole = subprocess.run(command.split(), cwd=copy, env=compiling, capture_output=True, text=True, check=False)
    if whole.returncode != 0:
        sys.exit(f"The tests of {part} fail before anything is changed:\n{whole.stdout[-2000:]}")
    os.chdir(copy)
    with use_db(str(copy.parent / f"{part.replace('/', '-')}.sqlite"), WorkDB.Mode.create) as database:
        init(sorted(find_modules([Path(part)])), database, {})
        for item in _choose(database.work_items, most, seed):
            yield item, mutate_and_test(item.mutations, command, PATIENCE)


def _choose(items: Sequence[WorkItem], most: int, seed: int) -> list[WorkItem]:
    """So many places by chance, and one change at each: some operators have a dozen, which would crowd out the rest."""
    by_place: dict[tuple[str, tuple[int, int]], list[WorkItem]] = {}
    for item in items:
        change = item.mutations[0]
        if not change.operator_name.startswith(LEFT_OUT):
            by_place.setdefault((str(change.module_path), change.start_pos), []).append(item)
    chance = random.Random(seed)
    places = chance.sample(sorted(by_place), min(most, len(by_place)))
    return [chance.choice(sorted(by_place[place], key=_describe)) for place in places]


def _describe(item: WorkItem) -> tuple[str, int, str]:
    change = item.mutations[0]
    return change.operator_name, change.occurrence, str(change.operator_args)


def _name_place(item: WorkItem) -> str:
    change = item.mutations[0]
    return f"{change.module_path}:{change.start_pos[0]} {change.operator_name.removeprefix('core/')}"


def _changed_lines(diff: str) -> list[str]:
    return [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]


if __name__ == "__main__":
    main()
