"""The `reverts` section of a rollout file: what reverts the code after its flag is off."""

from typing import Annotated

from pydantic import Field, PlainValidator, model_validator
from pydantic import WithJsonSchema as Schema

from core.files.sections.drives_terms import parse_address
from core.files.syntax.fields import StrictModel, field_error
from core.rollout.plans.plan import CodeRevert

GITHUB_API = "https://api.github.com"

Address = Annotated[
    str,
    PlainValidator(parse_address),
    Schema({"type": "string", "format": "uri", "examples": ["https://deploy.example.com/hooks/rampart"]}),
]


class GithubTerms(StrictModel):
    """The merged pull request that brought the code; after a rollback one that reverts it is opened."""

    repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$", max_length=140)]
    pull_request: Annotated[int, Field(ge=1)]
    url: Address = GITHUB_API


class WebhookTerms(StrictModel):
    """The address of a deploy system, which gets a signed request after a rollback."""

    url: Address


class RevertsTerms(StrictModel):
    """What reverts the code: a pull request, a deploy system, or both."""

    github: GithubTerms | None = None
    webhook: WebhookTerms | None = None

    @model_validator(mode="after")
    def _check_not_empty(self) -> "RevertsTerms":
        if self.github is None and self.webhook is None:
            said = "name what reverts the code: github: {repository: …, pull_request: …}, or webhook: {url: …}"
            raise field_error("", said)
        return self

    def to_reverts(self) -> tuple[CodeRevert, ...]:
        """The reverts as they are in the plan."""
        found = []
        if self.github is not None:
            found.append(
                CodeRevert(
                    system="github",
                    url=self.github.url,
                    repository=self.github.repository,
                    pull_request=self.github.pull_request,
                )
            )
        if self.webhook is not None:
            found.append(CodeRevert(system="webhook", url=self.webhook.url))
        return tuple(found)
