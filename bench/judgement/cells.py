"""One look over 20 metrics in 10 segments: CPU time of both kernels, and of gbstats' test on the same cells."""

import time
from collections.abc import Iterator

import numpy as np

from bench.measuring.figures import Figure
from bench.measuring.peer import Peer
from bench.measuring.rounds import Effort, medians
from core.stats.sequential import mean, proportion

CELLS = 20 * 10
TIMES = 400
PEER_TIMES = 20
SEED = 20261124


def measure(effort: Effort) -> Iterator[Figure]:
    """Ours judges every cell twice, exactly and asymptotically; gbstats once."""
    chance = np.random.default_rng(SEED)
    n_T = chance.integers(5, 50, CELLS).astype(np.float64)
    n_C = 19 * n_T
    s_T, s_C = chance.binomial(n_T.astype(int), 0.9) * 1.0, chance.binomial(n_C.astype(int), 0.9) * 1.0
    earlier_s, earlier_n = 10 * s_C, 10 * n_C
    components = np.zeros((CELLS, proportion.ANY_HARM_ODDS.size))
    z, information = chance.normal(size=CELLS), chance.uniform(0.1, 5.0, CELLS)

    def ours() -> float:
        times = effort.some(TIMES)
        began = time.process_time()
        for _ in range(times):
            steps = proportion.two_sample_increments(
                s_T, n_T, s_C, n_C, earlier_successes=earlier_s, earlier_trials=earlier_n, side="less"
            )
            proportion.log_mean(components + steps)
            mean.log_e_half_normal(z, information)
        return 1000 * (time.process_time() - began) / times

    with Peer("gbstats_sequential.py", environment="peers-stats") as gbstats:
        asked = {
            "canary": np.stack([n_T, s_T], axis=-1).astype(int).tolist(),
            "control": np.stack([n_C, s_C], axis=-1).astype(int).tolist(),
            "times": effort.some(PEER_TIMES),
        }
        found = medians({"ours": ours, "peer": lambda: gbstats.ask(what="cells", **asked)["ms"]}, effort.rounds)
    name = f"one look over {CELLS} cells"
    yield Figure(name=f"{name}, both kernels", ours=found["ours"], unit="CPU-ms", goal=1.0, better="less")
    yield Figure(
        name=f"{name}, against gbstats' test",
        ours=found["ours"],
        peer=found["peer"],
        unit="CPU-ms",
        goal=0.1,
        better="less",
    )
