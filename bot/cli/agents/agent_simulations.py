"""Simulations that agents ask for: one after the other, in processes of their own, so that nothing else waits."""

import os
import subprocess
import sys
import threading

DEADLINE = 600
"""Seconds that one may take; an agent hardly waits for so long."""
_PROGRAM = """
import os, threading
threading.Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()
from bot.cli import main
main()
"""
"""The command line, which ends when its standard input does."""


class AgentSimulations:
    """Runs `rollout simulate` in other processes. Threads may share it."""

    def __init__(self) -> None:
        self._turn = threading.Lock()  # each takes a whole processor
        self._changing = threading.Lock()
        self._running: subprocess.Popen[str] | None = None
        self._has_ended = False

    def run(self, *words: str) -> tuple[int, str]:
        """(exit status, what is printed) of the command line with these words, once those before it are done."""
        with self._turn:
            with self._changing:
                if self._has_ended:
                    return 2, "The server ends, so this was not begun."
                # Only the server holds the other end of its standard input: however the server ends, the system closes
                # that, and so nothing goes on calculating for nobody.
                reading, held = os.pipe()
                try:
                    process = self._running = subprocess.Popen(  # noqa: S603 - this program, with checked words
                        [sys.executable, "-X", "utf8", "-c", _PROGRAM, *words],
                        stdin=reading,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                        encoding="utf-8",
                    )
                except OSError:
                    os.close(held)
                    raise
                finally:
                    os.close(reading)
            with process:
                try:
                    printed, problems = process.communicate(timeout=DEADLINE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    return 2, f"It took longer than {DEADLINE // 60} minutes and was ended. Ask for fewer runs."
                finally:
                    os.close(held)
            return process.returncode, printed if process.returncode == 0 else printed + problems

    def end(self) -> None:
        """End the one under way, and begin no other: nobody waits for them any more."""
        with self._changing:
            self._has_ended = True
            if self._running is not None:
                self._running.kill()
