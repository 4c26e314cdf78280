"""What tokens cost: a table of prices by model, each with the day from which it holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

_DATED_NAME = ("-20", "@20")  # what begins the date of a snapshot: gpt-4o-2024-08-06, claude-sonnet-4-5-20250929
_PER = 1_000_000
_MAX_RATE = 1_000_000  # US dollars; more is a price in another unit
_CACHE_RATES = frozenset({"cache_read", "cache_write"})  # that of input where a price does not say
_RATES = ("input", "output", "cache_read", "cache_write")


class UnreadablePrices(ValueError):
    """A price table that cannot be used; the text says which entry is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """Prices of one model from a day on, in US dollars per million tokens.

    Tokens read from the cache, or written to it, cost what new ones do unless the table says otherwise.
    """

    model: str
    since: date
    input: float
    output: float
    cache_read: float
    cache_write: float

    def compute_cost(self, *, input_tokens: float, output_tokens: float, cached: float, written: float) -> float:
        """US dollars for one call. `input_tokens` includes those that were cached, as the conventions ask for.

        Some instrumentations leave these out: then there are more cached tokens than input tokens.
        """
        fresh = input_tokens - cached - written if input_tokens >= cached + written else input_tokens
        return (
            fresh * self.input + output_tokens * self.output + cached * self.cache_read + written * self.cache_write
        ) / _PER


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by model, for each the newest first."""

    by_model: Mapping[str, tuple[ModelPrice, ...]]

    def find_price(self, model: str, day: date) -> ModelPrice | None:
        """The price of a model on a day; a dated snapshot costs what its model does unless it is listed itself."""
        for name in (model, _without_date(model)):
            for price in self.by_model.get(name, ()):
                if price.since <= day:
                    return price
        return None

    def overridden_by(self, other: "PriceTable") -> "PriceTable":
        """This table with the models of another one in place of its own."""
        return PriceTable({**self.by_model, **other.by_model})


def load_built_in_prices() -> PriceTable:
    """The table that is part of the program, `price_table.yaml`."""
    return parse_prices((files(__package__) / "price_table.yaml").read_text("utf-8"))


def parse_prices(text: str) -> PriceTable:
    """A table from YAML, `prices: [{model, since, input, output, cache_read, cache_write}]`.

    Raises UnreadablePrices.
    """
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UnreadablePrices(f"it is not YAML: {error}") from None
    entries = loaded.get("prices") if isinstance(loaded, dict) else None
    if not isinstance(entries, list) or not entries:
        raise UnreadablePrices('it needs a list "prices" of {model, since, input, output}')
    found: dict[str, list[ModelPrice]] = {}
    for number, entry in enumerate(entries, 1):
        price = _parse_price(entry, number)
        found.setdefault(price.model, []).append(price)
    return PriceTable(
        {model: tuple(sorted(some, key=lambda p: p.since, reverse=True)) for model, some in found.items()}
    )


def _parse_price(entry: Any, number: int) -> ModelPrice:
    where = f"entry {number}"
    if not isinstance(entry, dict) or not isinstance(entry.get("model"), str) or not entry["model"]:
        raise UnreadablePrices(f"{where} names no model")
    where = f"{where} ({entry['model']})"
    if unknown := entry.keys() - {"model", "since", *_RATES}:
        raise UnreadablePrices(f"{where}: unknown field {min(map(str, unknown))}")
    if type(entry.get("since")) is not date:
        raise UnreadablePrices(f"{where}: since must be a day such as 2026-01-31")
    rates = {
        rate: _parse_rate(entry.get(rate, entry.get("input") if rate in _CACHE_RATES else None), rate, where)
        for rate in _RATES
    }
    return ModelPrice(model=entry["model"], since=entry["since"], **rates)


def _parse_rate(value: Any, rate: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_RATE:
        raise UnreadablePrices(f"{where}: {rate} must be US dollars per million tokens")
    return float(value)


@lru_cache(maxsize=1_024)
def _without_date(model: str) -> str:
    for mark in _DATED_NAME:
        name, found, rest = model.rpartition(mark)
        if found and len(rest) in (6, 8) and rest.replace("-", "").isdigit():
            return name
    return model
