"""Harm is found in at most 1.9 times the requests that the best test takes that is told both rates beforehand."""

import numpy as np
import pytest

from bench.judgement import delay


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(delay.HARMS)), ids=[one.name for one in delay.HARMS])
def test_harm_is_found_nearly_as_soon_as_by_who_knows_both_rates(number):
    harm = delay.HARMS[number]
    stream = delay.draw_stream(harm, delay.RUNS, np.random.default_rng([delay.SEED, number]))
    ours, oracle = (
        delay.count_requests(looks)
        for looks in (delay.find_by_evidence(harm, stream), delay.find_by_oracle(harm, stream))
    )
    assert delay.CANARY <= oracle < ours <= 1.9 * oracle
