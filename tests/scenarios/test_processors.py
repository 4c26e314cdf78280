"""A record made on one processor is verified on any other: numpy computes the last digits of some numbers otherwise."""

import os
import subprocess
import sys

import pytest

from core.service import replay
from core.store.database.connections import connect
from tests.rehearsal import EXAMPLES

ROOT = EXAMPLES.parent
MINUTES = 12
COMPUTE_OTHERWISE = {"X86_V4", "AVX512_SKX", "AVX512_ICL", "AVX512_SPR"}
"""Instruction sets with which numpy is known to compute other last digits than without."""


def features():
    """Instruction sets that numpy chooses between here, and would use."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]


def run(program, *arguments, without):
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(without), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", program, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def recorded_elsewhere(new_sqlite):
    """A database written as by a processor that has none of the optional instruction sets."""
    url = new_sqlite()
    done = run("tests.scenarios.play", url, str(MINUTES), without=features())
    assert done.returncode == 0, done.stderr
    return url


def test_what_another_processor_recorded_is_verified_here(recorded_elsewhere):
    with connect(recorded_elsewhere) as database, database.reading() as connection:
        report = replay.verify(connection, ("R-1",))
    assert report.mismatches == ()
    assert report.verdicts >= 1


def test_the_other_processor_does_compute_other_digits(recorded_elsewhere, new_sqlite):
    if not COMPUTE_OTHERWISE & set(features()):
        pytest.skip("on this processor numpy computes the same digits in every way that it has")
    url = new_sqlite()
    assert run("tests.scenarios.play", url, str(MINUTES), without=()).returncode == 0
    assert states(url) != states(recorded_elsewhere)


def states(url):
    from sqlalchemy import select

    from core.store.models import look

    with connect(url) as database, database.reading() as connection:
        return connection.execute(select(look.c.sums_hash).order_by(look.c.number)).scalars().all()
