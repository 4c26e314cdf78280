"""The command line imports the engine, so that scipy has to wait until it is used."""

import subprocess
import sys


def test_scipy_pandas_and_matplotlib_wait_until_they_are_used():
    modules = "core.judging.judge, core.judging.record, core.evals.eval_gate, core.stats.planning"
    modules += ", core.stats.sequential.split"
    check = f"import sys, {modules}; print(sorted({{'scipy', 'pandas', 'matplotlib'}} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
