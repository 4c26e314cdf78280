"""The OpenInference conventions of Arize Phoenix and others."""

from collections.abc import Mapping

from core.telemetry.conventions.readers import Reader, read_choice, read_number, read_text, read_words

_STEPS = {"llm": "model", "embedding": "embedding", "tool": "tool", "agent": "agent", "chain": "agent"}

FIRST_CHUNK_EVENTS = frozenset({"First Token Stream Event"})
READERS: Mapping[str, Reader] = {
    "openinference.span.kind": read_choice("step", _STEPS),
    "llm.provider": read_text("provider"),
    "llm.system": read_text("provider"),
    "llm.model_name": read_text("model"),
    "llm.finish_reason": read_words("finish_reasons"),
    "llm.token_count.prompt": read_number("input_tokens"),
    "llm.token_count.completion": read_number("output_tokens"),
    "llm.token_count.prompt_details.cache_read": read_number("cached_tokens"),
    "llm.token_count.prompt_details.cache_write": read_number("cache_written_tokens"),
    "llm.cost.total": read_number("cost"),
    "session.id": read_text("conversation"),
    "user.id": read_text("user"),
}
