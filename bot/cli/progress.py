"""Show the progress of long work: a bar with the time left on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 5.0  # seconds


def show_progress(finished: Iterable[T], total: int, what: str, describe: Callable[[T], str]) -> Iterator[T]:
    """Yield every result of `finished` and show the progress. `what` is the plural, as in "runs"; `describe` names
    one."""
    return (_show_bar if sys.stderr.isatty() else _print_lines)(finished, total, what, describe)


def _show_bar(finished: Iterable[T], total: int, what: str, describe: Callable[[T], str]) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"the first of {total} {what}", total=total)
        for one in finished:
            progress.update(bar, advance=1, description=describe(one))
            yield one


def _print_lines(finished: Iterable[T], total: int, what: str, describe: Callable[[T], str]) -> Iterator[T]:
    began = last_printed = time.monotonic()
    print(f"{total} {what} to play", file=sys.stderr, flush=True)
    for count, one in enumerate(finished, start=1):
        now = time.monotonic()
        if count == total:
            print(f"{count} of {total} {what} played in {now - began:.0f} s", file=sys.stderr, flush=True)
        elif now - last_printed >= SECONDS_BETWEEN_LINES:
            last_printed, left = now, (now - began) / count * (total - count)
            text = f"{count} of {total} {what} played ({describe(one)}), about {left:.0f} s left"
            print(text, file=sys.stderr, flush=True)
        yield one
