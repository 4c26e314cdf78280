"""Simulated readings are counted in the cells that intake would fill: as they are, cut, counted and in bins."""

import numpy as np
import pytest

from core.judging.model.evidence import CANARY, CONTROL, CellKey
from core.metrics.catalogue import CATALOGUE
from core.simulation.tally import Tally
from core.stats import quantile

PLACES = np.array([0, 5, 256 + 5])  # profile 0 in two buckets, profile 1
VALUES = np.array([1.0, 3.0, 10.0])


@pytest.fixture
def tally():
    return Tally(({"language": "de"}, {"language": "en"}), {"latency_p95": (4.0,)})


def total(tally, metric, segment="", arm=CANARY):
    cell = tally.sums.cells[CellKey(stage=2, arm=arm, segment=segment, metric=metric)]
    return cell.weight.sum(), cell.value.sum()


def test_a_mean_is_cut_from_when_its_cap_is_known(tally):
    tally.add_values(2, CANARY, CATALOGUE["cost_per_request"], PLACES, VALUES)
    assert set(tally.sums.histograms) == {CellKey(stage=2, arm=CANARY, segment="", metric="cost_per_request")}
    tally.caps = {"cost_per_request": 2.0}
    tally.add_values(2, CANARY, CATALOGUE["cost_per_request"], PLACES, VALUES)
    assert total(tally, "cost_per_request") == (6, 28)
    assert total(tally, "cost_per_request~2") == (3, 5)
    assert total(tally, "cost_per_request>2") == (3, 2)
    histogram = tally.sums.histograms[CellKey(stage=2, arm=CANARY, segment="", metric="cost_per_request")]
    assert sum(histogram.values()) == 3  # of before, as intake keeps it


def test_a_quantile_has_bins_and_counters_in_every_segment(tally):
    tally.add_values(2, CONTROL, CATALOGUE["latency_p95"], PLACES, VALUES)
    assert total(tally, "latency_p95>4", arm=CONTROL) == (3, 1)
    assert total(tally, "latency_p95>4", "language=de", CONTROL) == (2, 0)
    bins = {
        s: tally.sums.histograms[CellKey(stage=2, arm=CONTROL, segment=s, metric="latency_p95")]
        for s in ("", "language=en")
    }
    assert bins[""] == {quantile.bin_index(x): 1 for x in VALUES}
    assert bins["language=en"] == {quantile.bin_index(10.0): 1}


def test_users_of_all_profiles_share_buckets(tally):
    ones = np.zeros(512)
    ones[[5, 256 + 5]] = 1
    tally.add(2, CANARY, "refusal_rate", ones, ones)
    cell = tally.sums.cells[CellKey(stage=2, arm=CANARY, segment="", metric="refusal_rate")]
    assert cell.weight.shape == (256,)
    assert cell.weight[5] == 2
