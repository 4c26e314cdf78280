"""A piece of a program in a process of its own: what it prints, and the most memory it took."""

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
# From /proc: getrusage begins with the peak of the process that forked this one.
_PEAK = """
import re
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1e3)
"""


def run(code: str, url: str) -> tuple[list[str], float]:
    """(the words of the last line that `code` prints, megabytes at most); its `sys.argv[1]` is `url`."""
    command = [sys.executable, "-c", code + _PEAK, url]
    done = subprocess.run(command, capture_output=True, text=True, cwd=_ROOT, check=True)
    *_, line, megabytes = done.stdout.splitlines()
    return line.split(), float(megabytes)
