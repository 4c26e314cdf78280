"""An application whose calls of models an instrumentation reports. Runs in .venv-instrumentations.

Takes the names of instrumentations and the address of the models. Each line of JSON, `{"request", "unit", "to"}`, is a
request of a unit that is reported to a Rampart; the answer is a line with what was exported, OTLP in base64.
"""

import asyncio
import json
import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import openai
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

MODULES = {
    "genai": "opentelemetry.instrumentation.genai.openai",
    "traceloop": "opentelemetry.instrumentation.openai",
    "openinference": "openinference.instrumentation.openai",
}
USAGE: Any = {"include_usage": True}
TOOLS: Any = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]


class Exporter(SpanExporter):
    """OpenTelemetry's exporter to where the last request wanted its spans; remembers what it sent."""

    def __init__(self) -> None:
        self.to = ""
        self.sent = b""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.sent = encode_spans(spans).SerializeToString()
        return OTLPSpanExporter(endpoint=f"{self.to}/v1/traces").export(spans)


class Application:
    """What users ask for: each method without underscore is a request."""

    def __init__(self, url: str) -> None:
        self._client = openai.OpenAI(api_key="none", base_url=url)
        self._async = openai.AsyncOpenAI(api_key="none", base_url=url)

    def _ask(self, question: str, model: str = "gpt-4o", **more: Any) -> Any:
        messages: Any = [{"role": "user", "content": question}]
        return self._client.chat.completions.create(model=model, messages=messages, **more)

    def answer(self) -> None:
        self._ask("Where is my parcel?")

    def streamed(self) -> None:
        list(self._ask("Where is my parcel?", stream=True, stream_options=USAGE))

    def streamed_without_usage(self) -> None:
        list(self._ask("Where is my parcel?", stream=True))

    def streamed_by_helper(self) -> None:
        messages: Any = [{"role": "user", "content": "Where is my parcel?"}]
        with self._client.chat.completions.stream(model="gpt-4o", messages=messages, stream_options=USAGE) as stream:
            list(stream)

    def streamed_to_who_left(self) -> None:
        with self._ask("Where is my parcel?", stream=True, stream_options=USAGE) as stream:
            next(iter(stream))

    def streamed_at_length(self) -> None:
        list(self._ask("Where is my parcel? Answer at length.", stream=True, stream_options=USAGE))

    def streamed_asynchronously(self) -> None:
        async def ask() -> None:
            messages: Any = [{"role": "user", "content": "Where is my parcel?"}]
            chunks = await self._async.chat.completions.create(
                model="gpt-4o", messages=messages, stream=True, stream_options=USAGE
            )
            async for _ in chunks:
                pass

        asyncio.run(ask())

    def with_tool(self) -> None:
        messages: Any = [{"role": "user", "content": "Where is my parcel?"}]
        found = self._client.chat.completions.create(model="gpt-4o", messages=messages, tools=TOOLS)
        call = found.choices[0].message
        messages += [
            call.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": "call_1", "content": "in Bonn"},
        ]
        self._client.chat.completions.create(model="gpt-4o", messages=messages, tools=TOOLS)

    def with_embedding(self) -> None:
        self._client.embeddings.create(model="text-embedding-3-small", input="Where is my parcel?")
        self._ask("Where is my parcel?")

    def cut_off(self) -> None:
        self._ask("Whoever answers this is cut off.")

    def filtered(self) -> None:
        self._ask("Whoever answers this is filtered.")

    def refused(self) -> None:
        self._ask("Whoever answers this refuses.")

    def busy_once(self) -> None:
        self._ask("Whoever answers this is busy.")

    def failed(self) -> None:
        self._ask("Whoever answers this fails.")

    def answered_by_another_model(self) -> None:
        try:
            self.failed()
        except openai.InternalServerError:
            self._ask("Where is my parcel?", model="gpt-4o-mini")

    def response(self) -> None:
        self._client.responses.create(model="gpt-4o", input="Where is my parcel?")

    def response_streamed(self) -> None:
        list(self._client.responses.create(model="gpt-4o", input="Where is my parcel?", stream=True))

    def response_cut_off(self) -> None:
        self._client.responses.create(model="gpt-4o", input="Whoever answers this is cut off.")


def main() -> None:
    """Answer each line once its spans were exported."""
    exporter = Exporter()
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    for name in sys.argv[1].split(","):
        import_module(MODULES[name]).OpenAIInstrumentor().instrument(tracer_provider=provider)
    application = Application(sys.argv[2])
    for line in sys.stdin:
        asked = json.loads(line)
        exporter.to = asked["to"]
        flag = {
            "feature_flag.key": "support-assistant",
            "feature_flag.result.variant": "canary",
            "feature_flag.context.id": asked["unit"],
        }
        request: Callable[[], None] = getattr(application, asked["request"])
        try:
            with trace.get_tracer("shop").start_as_current_span("POST /ask", attributes=flag):
                request()
        except openai.InternalServerError:
            pass
        provider.force_flush()
        print(json.dumps({"sent": b64encode(exporter.sent).decode()}), flush=True)


main()
