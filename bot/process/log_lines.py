"""Lines of the log on standard output: where nobody takes them they are lost and counted, and nothing else happens."""

import sys
import threading
from typing import Any


class Lines:
    """What structlog calls for each line. A full disk or a reader that is gone changes nothing of what the program
    does."""

    _lock = threading.Lock()
    lost = 0  # of this process

    def msg(self, message: str) -> None:
        """Print it, or count it as lost."""
        with Lines._lock:
            try:
                print(message, flush=True)  # noqa: T201 - this is where lines are printed
            except (OSError, ValueError):  # ValueError: it is closed
                Lines.lost += 1

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def factory(*_: Any) -> Lines:
    """For `structlog.configure`."""
    return Lines()


def flush() -> None:
    """Let nothing wait at the end of the process; what nobody takes is lost."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            Lines.lost += 1
