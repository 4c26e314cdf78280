"""Who may read a page: whoever has a token, or the person whom a signed link from Slack names."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request

from bot.http.middleware.auth import TokenAuth, TokenRole
from bot.signed_page_links import PARAMETER, LinkedPerson, PageLinks
from core.rollout.context import Actor
from core.rollout.refusal import Refused

FindPerson = Callable[[LinkedPerson], Actor]
"""Asks Slack who somebody is and in which groups, now; raises `Refused` if it cannot say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkVisitor:
    """A person who opened one page by a link from Slack, until it `expires`. Other pages are closed to them."""

    actor: Actor
    expires: datetime


class PageAccess:
    """Authorizes readers of pages. Without `links`, by token alone."""

    def __init__(self, auth: TokenAuth, links: PageLinks | None, find_person: FindPerson | None) -> None:
        self._auth = auth
        self._links = links
        self._find_person = find_person

    def authorize(self, request: Request, ask_again: str) -> LinkVisitor | None:
        """The person behind a link; None for a token, whose holder may read everything.

        Refused for a link that has expired, that was made for another page, or whose person is no full member any
        more; `ask_again` is the command in Slack that gives a new one.
        """
        token = request.query_params.get(PARAMETER)
        if token is None or self._links is None or self._find_person is None:
            self._auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
            return None
        hint = f"Ask in Slack for a new one: {ask_again}."
        link = self._links.read(request.scope["path"], request.query_params.multi_items(), token)
        if link is None:
            raise Refused("This link does not open this page.", hint=hint, code="forbidden")
        if self._links.is_expired(link):
            raise Refused(
                f"This link has expired: it was valid for an hour, until {link.expires:%a %d %b %Y %H:%M} UTC.",
                hint=hint,
                code="forbidden",
            )
        actor = _ask_slack(self._find_person, link.person)
        if not actor.is_full_member:
            raise Refused(
                "This page is for full members of the workspace, and Slack says that you are none.",
                hint="Ask anyone in the rollout's channel.",
                code="forbidden",
            )
        return LinkVisitor(actor=actor, expires=link.expires)


def _ask_slack(find_person: FindPerson, person: LinkedPerson) -> Actor:
    try:
        return find_person(person)
    except Refused as refused:
        if refused.code != "unavailable":
            raise
        why = "Slack cannot confirm who you are right now, so the page stays closed."
        raise Refused(why, hint="Try again in a minute.", code=refused.code) from refused
