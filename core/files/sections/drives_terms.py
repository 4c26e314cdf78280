"""The `drives` section of a rollout file: the flag system that the rollout drives."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import PlainValidator
from pydantic import WithJsonSchema as Schema

from core.files.syntax.fields import Name, StrictModel
from core.rollout.plans.plan import DrivenFlag

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_BELOW = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._~-]*)*/?")


def parse_address(text: object) -> str:
    """Parse an address into the form in which it is compared: lower-case scheme and host, no slash at the end."""
    said = 'write an address like "https://flags.example.com", without a query, a user or a password'
    if not isinstance(text, str):
        raise ValueError(said)  # noqa: TRY004 - pydantic reports only ValueError as a problem of the file
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(said) from error
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    bare = not parts.query and not parts.fragment and text.isascii() and not text.endswith(("?", "#"))
    if (
        parts.scheme not in ("http", "https")
        or not _HOST.fullmatch(host)
        or not _BELOW.fullmatch(parts.path)
        or not bare
    ):
        raise ValueError(said)
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


class UnleashTerms(StrictModel):
    """One `flexibleRollout` strategy of one feature, in one environment."""

    url: Annotated[
        str,
        PlainValidator(parse_address),
        Schema({"type": "string", "format": "uri", "examples": ["https://flags.example.com"]}),
    ]
    project: Name = "default"
    environment: Name
    feature: Name
    strategy: Name

    def to_driven_flag(self) -> DrivenFlag:
        """The flag as it is in the plan."""
        return DrivenFlag(
            url=self.url,
            project=self.project,
            environment=self.environment,
            feature=self.feature,
            strategy=self.strategy,
            system="unleash",
        )


class DrivesTerms(StrictModel):
    """The flag system that holds the flag."""

    unleash: UnleashTerms

    def to_driven_flag(self) -> DrivenFlag:
        """The flag as it is in the plan."""
        return self.unleash.to_driven_flag()
