"""The command that judges answers by a Python function, until it is interrupted.

`python -m rampart_client.judge package.module:function --url https://rampart.example.com`; the token, of the role
`judge`, is in RAMPART_TOKEN. It is a process of its own, so that a judge that hangs or breaks down takes nothing of
Rampart along: what it did not judge is handed out again.
"""

import argparse
import importlib
import logging
import os
import signal
import sys
import threading

import httpx

from rampart_client.judging import Judge, JudgeLoop

log = logging.getLogger(__name__)


def load_judge(name: str) -> Judge:
    """The function `package.module:function`. Raises ValueError if there is none."""
    module, _, function = name.partition(":")
    if not module or not function:
        raise ValueError(f'"{name}" is no judge: write package.module:function.')
    sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name} is not there: {error}.") from error
    if not callable(found):
        raise ValueError(f"{name} is not a function.")  # noqa: TRY004 - one kind of error for a name that is no judge
    return found  # type: ignore[no-any-return]


def main() -> None:
    """Judge until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m rampart_client.judge", description="Judge answers for Rampart.")
    parser.add_argument("judge", help="package.module:function, which takes an AnswerToJudge and returns a Verdict")
    parser.add_argument("--url", default="http://127.0.0.1:8300", help="where Rampart is")
    parser.add_argument("--surface", default="", help="judge the answers of this surface only")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        judge = load_judge(given.judge)
    except ValueError as error:
        parser.error(str(error))
    loop = JudgeLoop(judge, given.url, token=os.environ.get("RAMPART_TOKEN", ""), surface=given.surface)
    stop = threading.Event()

    def end(number: int, _: object) -> None:
        stop.set()  # after the answer under way; a second signal ends a judge that hangs on one
        signal.signal(number, signal.SIG_DFL)

    for each in (signal.SIGINT, signal.SIGTERM):  # set here, since a shell's background processes ignore SIGINT
        signal.signal(each, end)
    try:
        loop.run(stop)
    except httpx.HTTPStatusError as error:
        parser.error(f"Rampart refuses ({error.response.status_code}): RAMPART_TOKEN needs the role judge.")
    finally:
        log.info("%s answers judged, %s not", loop.judged, loop.failed)
        loop.close()


if __name__ == "__main__":
    main()
