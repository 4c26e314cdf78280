"""Show the progress of long work: a bar with the time left on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

A_LINE_EVERY = 5.0  # seconds


def watched(done: Iterable[T], total: int, what: str, named: Callable[[T], str]) -> Iterator[T]:
    """Yield every result of `finished` and show the progress. `what` is the plural, as in "runs"; `describe` names
    one."""
    return (_on_a_bar if sys.stderr.isatty() else _in_lines)(done, total, what, named)


def _on_a_bar(done: Iterable[T], total: int, what: str, named: Callable[[T], str]) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"the first of {total} {what}", total=total)
        for one in done:
            progress.update(bar, advance=1, description=named(one))
            yield one


def _in_lines(done: Iterable[T], total: int, what: str, named: Callable[[T], str]) -> Iterator[T]:
    began = told = time.monotonic()
    print(f"{total} {what} to play", file=sys.stderr, flush=True)
    for count, one in enumerate(done, start=1):
        now = time.monotonic()
        if count == total:
            print(f"{count} of {total} {what} played in {now - began:.0f} s", file=sys.stderr, flush=True)
        elif now - told >= A_LINE_EVERY:
            told, left = now, (now - began) / count * (total - count)
            text = f"{count} of {total} {what} played ({named(one)}), about {left:.0f} s left"
            print(text, file=sys.stderr, flush=True)
        yield one
