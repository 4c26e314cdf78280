"""Keeps the snapshot fresh: one thread polls, another listens for changes and makes the next poll come sooner."""

import logging
import random
import threading
from collections.abc import Callable
from pathlib import Path

import httpx

from rampart_client import snapshot_file
from rampart_client.connection import Connection, FetchedSnapshot
from rampart_client.document import SurfaceRule, UnreadableDocument, compile_document
from rampart_client.freshness import find_deadline

log = logging.getLogger("rampart_client")

POLL_SECONDS = 5.0
RETRY_SECONDS = 1.0  # after a poll that failed
MAX_STREAM_RETRY_SECONDS = 30.0
STREAM_HOLDS_SECONDS = 10.0  # a proxy that ends every stream sooner is asked less and less often


class SnapshotFollower:
    """The newest snapshot, and until when it may be served. `rules` and `fresh_until` are read from any thread."""

    def __init__(
        self, connection: Connection, *, path: Path | None, listens: bool, elapsed: Callable[[], float]
    ) -> None:
        self.rules: dict[str, SurfaceRule] | None = None
        self.fresh_until = float("-inf")
        self.position = 0
        self._etag = ""
        self._connection, self._path, self._elapsed = connection, path, elapsed
        self._change_listeners: list[Callable[[], None]] = []
        self._stale_listeners: list[Callable[[], None]] = []
        self._is_stale = False
        self.last_problem = ""  # of the newest poll; empty once one was answered
        self._is_first_answered = threading.Event()
        self._wakeup = threading.Event()
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # between the end of a poll and the end of everything
        targets = [self._poll_repeatedly] + ([self._listen_repeatedly] if listens else [])
        self._threads = [threading.Thread(target=each, name="rampart-client", daemon=True) for each in targets]

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` from another thread after evaluations may have changed."""
        self._change_listeners.append(listener)

    def on_stale(self, listener: Callable[[], None]) -> None:
        """Call `listener` from another thread when the client has lost touch and serves live versions only."""
        self._stale_listeners.append(listener)

    def start(self, timeout: float) -> bool:
        """Begin; returns whether a server answered within `timeout` seconds. What is on disk is served meanwhile."""
        self._read_file()
        for thread in self._threads:
            thread.start()
        return self._is_first_answered.wait(timeout)

    def take_over(self, other: "SnapshotFollower") -> None:
        """Go on with the snapshot that `other` holds, for as long as it may be served."""
        self.rules, self.fresh_until, self.position, self._etag = (
            other.rules,
            other.fresh_until,
            other.position,
            other._etag,
        )

    def stop(self) -> None:
        """Stop both threads. From now on only live versions may be served, also if a poll is still under way."""
        with self._lock:
            self._stopping.set()
            self.fresh_until = float("-inf")
        self._wakeup.set()

    def _read_file(self) -> None:
        """Take the kept snapshot. It may be of any age, so that only its live versions are served."""
        if self._path is None or self.rules is not None:
            return
        try:
            body = snapshot_file.read_snapshot(self._path)
            if body is not None:
                self.rules = compile_document(body)
        except (OSError, UnreadableDocument) as error:
            log.warning("the snapshot in %s is not used: %s", self._path, error)

    def _poll_repeatedly(self) -> None:
        while not self._stopping.is_set():
            self._wakeup.clear()
            delay = POLL_SECONDS * random.uniform(0.8, 1.0)  # noqa: S311 - spreads the polls of many clients
            try:
                if self._poll() and self._etag:
                    delay = 0.0  # ask again at once: the request says what is served now
            except (httpx.HTTPError, UnreadableDocument, ValueError, RuntimeError) as error:
                self._report_problem(error)
                delay = RETRY_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311
            self._wakeup.wait(delay)

    def _poll(self) -> bool:
        """Ask once; returns whether there was a new snapshot."""
        asked_at = self._elapsed()
        fetched = self._connection.fetch_snapshot(self._etag)
        if fetched.position < self.position and self._elapsed() <= self.fresh_until:
            return False  # from a server that is behind; it counts as no answer while another one is not
        is_new = fetched.body is not None and not (fetched.etag and fetched.etag == self._etag)
        if fetched.body is not None and is_new:
            self._take(fetched, fetched.body)
        with self._lock:
            if self._stopping.is_set():
                return False
            self.position = fetched.position
            self.fresh_until = find_deadline(asked_at, fetched.age)
        self._is_first_answered.set()
        was_stale, self._is_stale = self._is_stale, False
        if self.last_problem:
            log.warning("Rampart answers again")
            self.last_problem = ""
        if is_new or was_stale:
            _call_all(self._change_listeners)
        return is_new

    def _take(self, fetched: FetchedSnapshot, body: bytes) -> None:
        self.rules = compile_document(body)
        self._etag = fetched.etag
        if self._path is not None:
            try:
                snapshot_file.write_snapshot(self._path, body)
            except OSError as error:
                log.warning("the snapshot could not be kept in %s: %s", self._path, error)

    def _report_problem(self, error: Exception) -> None:
        """Log a problem once, and tell those who want to know when it has lasted too long."""
        problem = describe_problem(error)
        if not self._stopping.is_set() and problem != self.last_problem:
            log.warning(problem)
        self.last_problem = problem
        if not self._is_stale and self._elapsed() > self.fresh_until:
            self._is_stale = True
            log.warning("out of touch with Rampart: everybody gets the live version until it answers")
            _call_all(self._stale_listeners)

    def _listen_repeatedly(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = self._elapsed()
            try:
                for _ in self._connection.listen():
                    self._wakeup.set()
            except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: closed meanwhile
                log.debug("the event stream broke: %s", error)
            failures = count_failures(failures, self._elapsed() - began)
            longest = min(MAX_STREAM_RETRY_SECONDS, 2.0**failures)
            self._stopping.wait(longest * random.uniform(0.5, 1.0))  # noqa: S311


def describe_problem(error: Exception) -> str:
    """Why a poll brought no snapshot: what the server says, if it answered."""
    if not isinstance(error, httpx.HTTPStatusError):
        return f"no answer from Rampart: {type(error).__name__}: {error}"
    try:
        said = error.response.json()
        why = f"{said['message']} {said.get('hint', '')}".strip()
    except (ValueError, KeyError, TypeError, AttributeError):  # from something in between
        why = error.response.reason_phrase
    return f"Rampart refuses the snapshot ({error.response.status_code}): {why[:300]}"


def count_failures(before: int, seconds: float) -> int:
    """Streams in a row that did not hold, once another has ended after `seconds`, with an error or without one."""
    return 0 if seconds >= STREAM_HOLDS_SECONDS else before + 1


def _call_all(listeners: list[Callable[[], None]]) -> None:
    for listener in listeners:
        try:
            listener()
        except Exception:  # the application's code, which must not stop the polls
            log.exception("a listener failed")
