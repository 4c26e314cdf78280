"""The one-sided peer that the bench restates as a formula gives the value that its own repository expects."""

import numpy as np
import pytest

from bench.judgement import gbstats_current


def test_the_limit_is_the_one_that_growthbooks_own_tests_expect():
    # growthbook/growthbook, gbstats tests, SequentialOneSidedTreatmentGreaterTTest at default settings: 3,000 + 3,461
    # users, relative difference 0.50336 with standard error 0.33341, lower limit -0.42356.
    found = gbstats_current.reaches(
        np.array([0.5033610858562358]), np.array([0.3334122146400735**2]), np.array([6461.0]), alpha=0.05
    )
    assert found == pytest.approx([-0.42356454602790883], rel=1e-9)
