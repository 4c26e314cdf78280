"""The OTLP endpoints: `/v1/traces`, `/v1/logs` and `/v1/metrics`, answered after the commit."""

import asyncio
import logging
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, assert_never

import orjson
from anyio import CapacityLimiter, to_thread
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from bot.http.middleware.auth import TokenAuth, TokenRole
from bot.http.observations import read_batch
from bot.http.observations.read_batch import AcceptedItem, CheckedBatch
from bot.http.observations.split_body import MAX_ITEMS
from bot.http.observations.writer import ObservationWriter, TooManyBatches, TransactionWork
from bot.http.otlp import answers, decode_json, decode_protobuf, json_values, protobuf_values
from bot.http.otlp.answers import Encoding, Signal
from bot.http.otlp.assemble_parts import PartCollector
from bot.http.otlp.count_traces import TraceCounter
from bot.http.otlp.known_attributes import KnownAttributes
from bot.http.otlp.protobuf_values import MalformedExport
from core.flags.snapshot import Snapshot
from core.store.errors import StoreError
from core.store.observations import deduplication, trace_parts
from core.store.observations.trace_parts import StoredPart
from core.telemetry.metric_points import GAUGE_ID, ReadPoints, read_points

PATHS = ("/v1/traces", "/v1/logs", "/v1/metrics")
MAX_INFLATED = 16 * 1024 * 1024
"""Bytes of a body after inflating. A batch of 8,192 spans, the default of collectors, is some 5 MB."""
MAX_WAITING_PARTS = 200_000
"""Parts of traces in the store. With more, exporters are asked to wait; they keep what they could not send."""
_POINT_BYTES = 300  # about what an observation of a point takes
RETRY_AFTER = 3  # seconds: exporters give up after ten, waiting included
_log = logging.getLogger(__name__)


class ExportTooLarge(ValueError):
    """The body is too large once it is inflated."""


class OtlpEndpoint:
    """Takes exports. `spans` counts what came, by what became of it on arrival."""

    def __init__(
        self,
        writer: ObservationWriter,
        counter: TraceCounter,
        auth: TokenAuth,
        report_outage: Callable[[Exception], object],
    ) -> None:
        self._writer, self._counter, self._auth, self._report_outage = writer, counter, auth, report_outage
        self._from_protobuf = KnownAttributes(protobuf_values.read_pair)
        self._from_json = KnownAttributes(json_values.read_pair)
        self._decoding = CapacityLimiter(2)  # bounds the memory of inflated bodies
        self.spans: Counter[str] = Counter()

    @property
    def outcomes(self) -> Mapping[str, int]:
        """What was counted of traces, and why the rest was not."""
        return self._counter.outcomes

    @property
    def waiting(self) -> int:
        """How many parts of traces wait in the store."""
        return self._counter.waiting

    async def receive_traces(self, request: Request) -> Response:
        """Take spans."""
        return await self._receive(request, Signal.TRACES)

    async def receive_logs(self, request: Request) -> Response:
        """Take events: flag evaluations, judges' results, and an application's own."""
        return await self._receive(request, Signal.LOGS)

    async def receive_metrics(self, request: Request) -> Response:
        """Take data points of an application's own metrics."""
        return await self._receive(request, Signal.METRICS)

    async def _receive(self, request: Request, signal: Signal) -> Response:
        self._auth.authorize_person(request.headers.raw, TokenRole.INGEST)
        encoding = answers.find_encoding(request.headers.get("content-type", ""))
        if encoding is None:
            hint = "Send application/x-protobuf or application/json."
            return answers.build_error(415, f"The content type is not one of OTLP over HTTP. {hint}", Encoding.JSON)
        body = await request.body()
        packed = request.headers.get("content-encoding", "").strip().lower() == "gzip"
        try:
            decoded = await to_thread.run_sync(self._decode, body, packed, encoding, signal, limiter=self._decoding)
            if isinstance(decoded, ReadPoints):
                return await self._count_points(decoded, encoding)
            return await self._store_parts(decoded, signal, encoding)
        except MalformedExport as malformed:
            return answers.build_error(400, str(malformed), encoding)
        except ExportTooLarge as too_large:
            return answers.build_error(413, str(too_large), encoding)
        except TooManyBatches:
            why = "Too many batches are waiting to be written, so this one was not counted. Send it again."
            return answers.build_error(503, why, encoding, retry_after=1)
        except (StoreError, SQLAlchemyError) as error:
            if not self._report_outage(error):
                _log.exception("An export could not be stored")
            why = "The database did not answer. Send the export again: what is there already counts once."
            return answers.build_error(503, why, encoding, retry_after=RETRY_AFTER)

    def _decode(self, body: bytes, packed: bool, encoding: Encoding, signal: Signal) -> PartCollector | ReadPoints:
        if packed:
            body = inflate(body)
        if len(body) > MAX_INFLATED:
            raise ExportTooLarge(f"The body is over the limit of {MAX_INFLATED:,} bytes. Send smaller batches.")
        is_json = encoding is Encoding.JSON
        match signal:
            case Signal.TRACES:
                if is_json:
                    return decode_json.decode_traces(body, self._from_json)
                return decode_protobuf.decode_traces(body, self._from_protobuf)
            case Signal.LOGS:
                return decode_json.decode_logs(body) if is_json else decode_protobuf.decode_logs(body)
            case Signal.METRICS:
                return read_points(
                    decode_json.decode_metrics(body) if is_json else decode_protobuf.decode_metrics(body)
                )
            case _:
                assert_never(signal)

    async def _store_parts(self, collected: PartCollector, signal: Signal, encoding: Encoding) -> Response:
        if self._counter.waiting > MAX_WAITING_PARTS:
            self.spans["refused"] += collected.count
            # Not 429, which Python's exporters before 1.45 take for good and drop what they hold; all repeat after 503.
            why = f"More than {MAX_WAITING_PARTS:,} parts of traces wait to be counted. Send this again later."
            return answers.build_error(503, why, encoding, retry_after=RETRY_AFTER)
        parts = collected.build_parts()
        if parts:
            size = sum(len(part.part) for part in parts)
            stored = self._writer.submit_work(TransactionWork(run=AddParts(parts), size=size))
            await asyncio.wrap_future(stored)
            self._counter.wake(len(parts))
        self.spans["kept"] += collected.kept
        self.spans["rejected"] += collected.rejected
        self.spans["ignored"] += collected.count - collected.kept - collected.rejected
        return answers.build_answer(signal, encoding, collected.rejected, tuple(collected.reasons))

    async def _count_points(self, points: ReadPoints, encoding: Encoding) -> Response:
        """Count data points like a batch of observations; one that comes again is not rejected, but counts once."""
        rejected, reasons = points.rejected, dict.fromkeys(points.reasons)
        for start in range(0, len(points.items), MAX_ITEMS):
            some = points.items[start : start + MAX_ITEMS]
            work = TransactionWork(run=CountPoints(some), size=len(some) * _POINT_BYTES)
            answer: bytes = await asyncio.wrap_future(self._writer.submit_work(work))
            for one in orjson.loads(answer)["rejected"]:
                if one["code"] != "duplicate":
                    rejected += 1
                    reasons[one["message"]] = None
        return answers.build_answer(Signal.METRICS, encoding, rejected, tuple(reasons))


class AddParts:
    """Adds parts in a transaction of observations; there is nothing to count yet."""

    def __init__(self, parts: Sequence[StoredPart]) -> None:
        self._parts = parts

    def __call__(self, connection: Connection, snapshot: Snapshot, now: datetime) -> CheckedBatch:
        trace_parts.add_parts(connection, self._parts, now)
        return CheckedBatch(accepted=(), rejected=())


class CountPoints:
    """Checks the observations of points in a transaction, without gauges that say the same again."""

    def __init__(self, items: Sequence[dict[str, Any]]) -> None:
        self._items = items

    def __call__(self, connection: Connection, snapshot: Snapshot, now: datetime) -> CheckedBatch:
        found = read_batch.check_items(self._items, snapshot, now)
        gauges = {(one.surface, one.id) for one in found.accepted if one.id is not None and one.id.startswith(GAUGE_ID)}
        fresh = set(deduplication.claim_fresh_items(connection, gauges, now)) if gauges else set()
        accepted: list[AcceptedItem] = []
        for one in found.accepted:
            identity = (one.surface, one.id or "")
            if identity in fresh:
                fresh.remove(identity)
                accepted.append(replace(one, id=None))
            elif identity not in gauges:
                accepted.append(one)
        return replace(found, accepted=accepted)


def inflate(body: bytes) -> bytes:
    """Inflate gzip, up to `MAX_INFLATED` bytes; raises MalformedExport and ExportTooLarge."""
    inflated = b""
    while True:  # gzip may have several members, one after the other
        inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            inflated += inflater.decompress(body, MAX_INFLATED + 1 - len(inflated))
        except zlib.error as error:
            raise MalformedExport(f"The body is not gzip: {error}.") from None
        if len(inflated) > MAX_INFLATED:
            raise ExportTooLarge(
                f"The inflated body is over the limit of {MAX_INFLATED:,} bytes. Send smaller batches."
            )
        if not inflater.eof:
            raise MalformedExport("The body is gzip that was cut off.")
        body = inflater.unused_data
        if not body:
            return inflated
