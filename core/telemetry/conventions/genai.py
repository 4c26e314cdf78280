"""The GenAI conventions of OpenTelemetry, with the names that they had before."""

import re
from collections.abc import Mapping
from typing import Any

from core.telemetry.conventions.readers import Reader, read_choice, read_number, read_text, read_words

EVALUATION_EVENT = "gen_ai.evaluation.result"
_REFUSAL_PART = re.compile(r'"type"\s*:\s*"refusal"')
_STEPS = {
    "chat": "model",
    "text_completion": "model",
    "generate_content": "model",
    "embeddings": "embedding",
    "execute_tool": "tool",
    "invoke_agent": "agent",
    "invoke_workflow": "agent",
}


def _read_refusal(facts: dict[str, Any], value: Any) -> None:
    """Whether the answer holds a refusal. Content is sent by choice, read for this, and not kept."""
    if isinstance(value, str):
        facts["refused"] = _REFUSAL_PART.search(value) is not None
    elif isinstance(value, list):
        parts = [part for message in value if isinstance(message, dict) for part in message.get("parts") or ()]
        facts["refused"] = any(isinstance(part, dict) and part.get("type") == "refusal" for part in parts)


READERS: Mapping[str, Reader] = {
    "gen_ai.operation.name": read_choice("step", _STEPS),
    "gen_ai.provider.name": read_text("provider"),
    "gen_ai.system": read_text("provider"),
    "gen_ai.request.model": read_text("requested_model"),
    "gen_ai.response.model": read_text("model"),
    "gen_ai.response.finish_reasons": read_words("finish_reasons"),
    "gen_ai.response.time_to_first_chunk": read_number("first_chunk_ms", 1000),
    "gen_ai.server.time_to_first_token": read_number("first_chunk_ms", 1000),
    "gen_ai.usage.input_tokens": read_number("input_tokens"),
    "gen_ai.usage.prompt_tokens": read_number("input_tokens"),
    "gen_ai.usage.output_tokens": read_number("output_tokens"),
    "gen_ai.usage.completion_tokens": read_number("output_tokens"),
    "gen_ai.usage.cache_read.input_tokens": read_number("cached_tokens"),
    "gen_ai.usage.cache_creation.input_tokens": read_number("cache_written_tokens"),
    # as pydantic-ai has named them over time
    "gen_ai.usage.cache_read_tokens": read_number("cached_tokens"),
    "gen_ai.usage.cache_write_tokens": read_number("cache_written_tokens"),
    "gen_ai.usage.details.cache_read_tokens": read_number("cached_tokens"),
    "gen_ai.usage.details.cache_write_tokens": read_number("cache_written_tokens"),
    "gen_ai.usage.details.cache_read_input_tokens": read_number("cached_tokens"),
    "gen_ai.usage.details.cache_creation_input_tokens": read_number("cache_written_tokens"),
    "gen_ai.output.messages": _read_refusal,
    "gen_ai.conversation.id": read_text("conversation"),
    "error.type": read_text("error_type"),
    "exception.type": read_text("exception_type"),
}
EVALUATION_READERS: Mapping[str, Reader] = {
    "gen_ai.evaluation.name": read_text("name"),
    "gen_ai.evaluation.score.label": read_text("label"),
    "gen_ai.evaluation.score.value": read_number("score"),
}
"""Attributes of an event `gen_ai.evaluation.result`."""
