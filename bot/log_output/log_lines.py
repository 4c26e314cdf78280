"""Prints log lines to standard output; lines that cannot be written are counted, and never raise."""

import sys
import threading
from typing import Any


class LogPrinter:
    """structlog's logger: prints each line. A full disk or a closed pipe never disturbs the program."""

    _lock = threading.Lock()
    lost_count = 0  # lines that this process could not print

    def msg(self, message: str) -> None:
        """Print it, or count it as lost."""
        with LogPrinter._lock:
            try:
                print(message, flush=True)  # noqa: T201 - this is where lines are printed
            except (OSError, ValueError):  # ValueError: it is closed
                LogPrinter.lost_count += 1

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def build_log_printer(*_: Any) -> LogPrinter:
    """The `logger_factory` of `structlog.configure`."""
    return LogPrinter()


def flush_streams() -> None:
    """Flush standard output and error at the end of the process; what cannot be written is lost."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            LogPrinter.lost_count += 1
