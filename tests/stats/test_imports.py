"""What takes long to load waits until it is used: the command line and every process start that much sooner."""

import subprocess
import sys


def test_scipy_pandas_and_matplotlib_wait_until_they_are_used():
    modules = "core.judging.judge, core.judging.record, core.evals.eval_gate, core.stats.planning"
    modules += ", core.stats.sequential.split"
    check = f"import sys, {modules}; print(sorted({{'scipy', 'pandas', 'matplotlib'}} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_no_process_loads_the_distributions_of_scipy_as_it_starts():
    check = "import sys, bot.startup.app; print('scipy.stats' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
