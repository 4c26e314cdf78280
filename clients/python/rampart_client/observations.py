"""Observations in batches from a thread: bounded, retried under the same key, flushed at the end."""

import json
import logging
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx

from rampart_client.connection import Connection

log = logging.getLogger("rampart_client")

BATCH_SIZE = 500
BATCH_SECONDS = 1.0  # an observation waits for others for this long
MAX_WAITING = 20_000
MAX_RETRY_SECONDS = 30.0


class ObservationSender:
    """Takes observations without ever blocking. Those beyond `MAX_WAITING` are dropped, and counted in `dropped`."""

    def __init__(self, connection: Connection) -> None:
        self.accepted = 0
        self.rejected = 0
        self.dropped = 0
        self._connection = connection
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._lock = threading.Condition()
        self._is_flushing = False
        self._is_stopping = False
        self._in_flight = 0
        self._thread: threading.Thread | None = None
        self._logged_codes: set[str] = set()

    def add(self, observation: Mapping[str, Any]) -> None:
        """Queue one observation. What is not JSON is dropped and logged, so that it spoils no batch."""
        try:
            json.dumps(observation, allow_nan=False)
        except (TypeError, ValueError) as error:
            self._drop(1, f"it is not JSON: {error}")
            return
        with self._lock:
            if len(self._waiting) >= MAX_WAITING or self._is_stopping:
                self.dropped += 1
                return
            self._waiting.append(observation)
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_repeatedly, name="rampart-observations", daemon=True)
                self._thread.start()
            if len(self._waiting) >= BATCH_SIZE or len(self._waiting) == 1:
                self._lock.notify_all()

    def flush(self, timeout: float) -> bool:
        """Send what waits, now; returns whether everything was sent within `timeout` seconds."""
        with self._lock:
            self._is_flushing = True
            self._lock.notify_all()
            done = self._lock.wait_for(lambda: not self._waiting and not self._in_flight, timeout)
            self._is_flushing = False
            return done

    def stop(self, timeout: float) -> bool:
        """Flush, and take no more."""
        done = self.flush(timeout)
        with self._lock:
            self._is_stopping = True
            self.dropped += len(self._waiting) + self._in_flight
            self._waiting.clear()
            self._lock.notify_all()
        return done

    def _send_repeatedly(self) -> None:
        while batch := self._take_batch():
            key, failures = uuid4().hex, 0
            while (delay := self._send(batch, key, failures)) is not None:
                failures += 1
                with self._lock:
                    if self._lock.wait_for(lambda: self._is_stopping, delay):
                        return
            with self._lock:
                self._in_flight = 0
                self._lock.notify_all()

    def _take_batch(self) -> list[Mapping[str, Any]]:
        """The next batch once it is full or has waited; empty at the end."""
        with self._lock:
            self._lock.wait_for(lambda: self._waiting or self._is_stopping)
            self._lock.wait_for(
                lambda: len(self._waiting) >= BATCH_SIZE or self._is_flushing or self._is_stopping, BATCH_SECONDS
            )
            batch = [self._waiting.popleft() for _ in range(min(BATCH_SIZE, len(self._waiting)))]
            self._in_flight = len(batch)
            return batch

    def _send(self, batch: list[Mapping[str, Any]], key: str, failures: int) -> float | None:
        """Try once; returns after how many seconds to try again, None if the batch is done with."""
        backoff = min(MAX_RETRY_SECONDS, 2.0**failures)
        try:
            answer = self._connection.send_observations(batch, key)
        except (httpx.HTTPError, RuntimeError) as error:
            self._log_once("unreachable", f"observations wait, as Rampart does not answer: {error!r}")
            return backoff
        except (TypeError, ValueError) as error:
            self._drop(len(batch), f"they are not JSON: {error}")
            return None
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error:
            asked = answer.headers.get("retry-after", "")
            return min(MAX_RETRY_SECONDS, float(asked)) if asked.isdecimal() else backoff
        if not answer.is_success:
            self._drop(len(batch), f"{answer.status_code} {answer.text[:200]}")
            return None
        self._logged_codes.discard("unreachable")
        try:
            self._count_outcomes(answer.json())
        except (ValueError, KeyError, TypeError):
            self._drop(len(batch), f"the answer is not Rampart's: {answer.text[:200]}")
        return None

    def _count_outcomes(self, result: Mapping[str, Any]) -> None:
        accepted, rejected = int(result["accepted"]), [(item["code"], item["message"]) for item in result["rejected"]]
        self.accepted += accepted
        self.rejected += len(rejected)
        for code, message in rejected:
            self._log_once(code, f"an observation was rejected ({code}): {message}")

    def _drop(self, count: int, why: str) -> None:
        self.dropped += count
        self._log_once(why, f"observations were dropped: {why}")

    def _log_once(self, code: str, message: str) -> None:
        """Log the first problem of its kind."""
        if code not in self._logged_codes and len(self._logged_codes) < 100:
            self._logged_codes.add(code)
            log.warning("%s", message)
