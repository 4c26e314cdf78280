"""A source to try before anything depends on it, and which part of it is read for that."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.sources.errors import SourceFailure
from bot.sources.web_client import WebClient
from core.metrics.catalogue import Metric
from core.rollout.state.sources import SourceTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTrial:
    """A source, tried on what it holds of [since, upto). `own` are the metrics that the surface's file defines."""

    terms: SourceTerms
    address: str  # empty where its setting is missing
    private_hosts: Collection[str]
    own: Mapping[str, Metric]
    since: datetime
    upto: datetime

    def require_address(self) -> str:
        """The address of the source; `SourceFailure` where its setting is missing."""
        if not self.address:
            raise SourceFailure(f"{self.terms.url} is not set here")
        return self.address

    def connect(self) -> WebClient:
        """A client for a source that is asked over HTTP; `SourceFailure` where its address cannot be used."""
        return WebClient(self.require_address(), self.private_hosts, self.terms.timeout.total_seconds())
