"""The conventions of Traceloop's OpenLLMetry, where they differ from the GenAI conventions."""

from collections.abc import Mapping

from core.telemetry.conventions.readers import Reader, read_choice, read_number, read_text, read_words

_STEPS = {"workflow": "agent", "agent": "agent", "tool": "tool"}
_REQUESTS = {"chat": "model", "completion": "model", "embedding": "embedding"}

CHUNK_EVENTS = frozenset({"gen_ai.content.completion.chunk", "llm.content.completion.chunk"})
"""What is said of each chunk of an answer; the second name is the older one."""

READERS: Mapping[str, Reader] = {
    "traceloop.span.kind": read_choice("step", _STEPS),
    "llm.request.type": read_choice("step", _REQUESTS),
    "llm.response.finish_reason": read_words("finish_reasons"),
    "llm.response.stop_reason": read_words("finish_reasons"),
    "gen_ai.completion.0.finish_reason": read_words("finish_reasons"),
    "gen_ai.usage.cache_read_input_tokens": read_number("cached_tokens"),
    "gen_ai.usage.cache_creation_input_tokens": read_number("cache_written_tokens"),
    "traceloop.association.properties.user_id": read_text("user"),
    "traceloop.association.properties.session_id": read_text("conversation"),
}
