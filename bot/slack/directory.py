"""Looks up people, user groups and channels in Slack, and caches them for five minutes."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import SlackResponse

from core.files.plan_from_file import UnknownPerson
from core.rollout.context import Actor, is_slack_user_id
from core.rollout.refusal import Refused

log = structlog.get_logger()

CACHE_FOR = timedelta(minutes=5)
_UNKNOWN_USER_ERRORS = frozenset({"user_not_found", "user_not_visible", "users_not_found"})

_HIDDEN_CHANNEL_ERRORS = frozenset(
    {"channel_not_found", "not_in_channel", "missing_scope", "method_not_supported_for_channel_type"}
)


class SlackUnreachable(Exception):
    """Slack did not answer a lookup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackUser:
    """A user in the workspace. Guests, bots, external users and deactivated accounts are not full members."""

    id: str
    handle: str  # @ana
    full_member: bool
    zone: str = ""  # the time zone set in Slack, as in Europe/Berlin


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackUserGroup:
    """A user group by its handle (`@ai-leads`), and the ids of its members."""

    id: str
    handle: str
    members: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackWorkspace:
    """Where the bot's token is valid: one workspace, or (`org_wide`) every workspace of one organisation."""

    team: str
    enterprise: str
    org_wide: bool

    def contains(self, team: str, enterprise: str) -> bool:
        """Whether a request from this team and organisation comes from here."""
        if self.enterprise and enterprise and enterprise != self.enterprise:
            return False
        return team == self.team or (self.org_wide and bool(enterprise) and enterprise == self.enterprise)


class SlackDirectory:
    """Caches lookups for `CACHE_FOR`. `now` is real time, so that entries expire whatever the rollouts' clock does."""

    def __init__(self, client: WebClient, now: Callable[[], datetime]) -> None:
        self._client = client
        self._now = now
        self._lock = threading.Lock()
        self._users: dict[str, tuple[datetime, SlackUser]] = {}
        self._channels: dict[str, tuple[datetime, str]] = {}
        self._groups: tuple[datetime, tuple[SlackUserGroup, ...]] | None = None
        self._public: tuple[datetime, frozenset[str]] | None = None
        self._handles: tuple[datetime, Mapping[str, frozenset[str]]] | None = None
        self._workspace: SlackWorkspace | None = None

    def resolve_actor(
        self,
        team: str,
        user: str,
        *,
        enterprise: str = "",
        channel: str = "",
        channel_id: str = "",
        moves_forward: bool,
        fresh: bool = False,
    ) -> Actor:
        """The actor behind a request; `Refused` if it comes from another workspace. `fresh` skips the cache.

        A person has one id, whichever workspace of an organisation they ask from. If the request moves a rollout
        forward, the channel's name is looked up by its id instead of trusted. If Slack does not answer, such a request
        is `Refused`, while pausing and rolling back go on.
        """
        try:
            if not self._get_workspace().contains(team, enterprise):
                log.warning("asked from another workspace", team=team, enterprise=enterprise)
                raise Refused(
                    "This comes from another Slack workspace, not from Rampart's, so nothing was done.",
                    hint="Ask somebody in Rampart's workspace, or use the command line.",
                    code="forbidden",
                )
            person = self._get_user(user, fresh=fresh)
            groups = tuple(g.handle for g in self._get_groups(fresh=fresh) if user in g.members)
            channel = self._get_channel_name(channel_id) if moves_forward else channel
        except SlackUnreachable as unreachable:
            log.warning("slack cannot be asked", why=str(unreachable))
            if moves_forward:
                raise Refused(
                    "Slack cannot confirm who you are right now, so nothing moves forward.",
                    hint="Pausing and rolling back still work. Try again in a minute.",
                    code="unavailable",
                ) from unreachable
            known = self._users.get(user)
            person = known[1] if known else SlackUser(id=user, handle="", full_member=True)
            groups = ()
        return Actor(
            id=f"slack:{enterprise or team}/{user}",
            handle=person.handle,
            groups=groups,
            is_full_member=person.full_member,
            channel=channel,
            channel_id=channel_id,
            zone=person.zone,
        )

    def resolve_handle(self, handle: str) -> str:
        """The user id of `@dana`, matched by account name or display name; raises `UnknownPerson` if nobody or several
        match, or if Slack does not answer."""
        wanted = handle.removeprefix("@").lower()
        try:
            if is_slack_user_id(handle):
                found = frozenset({handle}) if self._get_user(handle, fresh=False).handle else frozenset()
            else:
                found = self._get_user_ids_by_name().get(wanted, frozenset())
            names = sorted(f"{self._get_user(user, fresh=False).handle} ({user})" for user in found if len(found) > 1)
        except SlackUnreachable as unreachable:
            log.warning("handle not resolved", handle=handle, why=str(unreachable))
            raise UnknownPerson(f"Slack cannot say right now who {handle} is", is_temporary=True) from unreachable
        if names:
            raise UnknownPerson(f"{handle} could be {' or '.join(names)} in Slack: write the user id")
        if not found:
            raise UnknownPerson(f"there is no {handle} in Slack")
        return next(iter(found))

    def find_handle(self, user: str) -> str:
        """The `@handle` of a user id; the id itself if nobody has it or Slack does not answer."""
        try:
            return self._get_user(user, fresh=False).handle or user
        except SlackUnreachable as unreachable:
            log.warning("user not resolved", user=user, why=str(unreachable))
            return user

    def find_handles(self, users: Collection[str]) -> Mapping[str, str]:
        """User id -> `@handle`, of those whom Slack knows; only of those known already once it does not answer."""
        found: dict[str, str] = {}
        is_reachable = True
        for user in sorted(users):
            known = self._users.get(user)
            try:
                person = self._get_user(user, fresh=False) if is_reachable else known[1] if known else None
            except SlackUnreachable as unreachable:
                log.warning("user not resolved", user=user, why=str(unreachable))
                is_reachable, person = False, known[1] if known else None
            if person is not None and person.handle:
                found[user] = person.handle
        return found

    def format_mention(self, group: str) -> str:
        """A mention that notifies a user group; empty if the group is unknown or Slack does not answer."""
        try:
            found = next((g for g in self._get_groups(fresh=False) if g.handle == group), None)
        except SlackUnreachable as unreachable:
            log.warning("group not resolved", group=group, why=str(unreachable))
            return ""
        return f"<!subteam^{found.id}>" if found else ""

    def list_members(self, group: str) -> Mapping[str, str]:
        """The full members of a user group, as user id -> `@handle`; empty if it is unknown or Slack does not
        answer."""
        try:
            found = next((g for g in self._get_groups(fresh=False) if g.handle == group), None)
            people = [self._get_user(user, fresh=False) for user in sorted(found.members)] if found else []
        except SlackUnreachable as unreachable:
            log.warning("group not resolved", group=group, why=str(unreachable))
            return {}
        return {person.id: person.handle for person in people if person.full_member}

    def explain_channel(self, channel: str) -> str:
        """Why nothing could be posted in a channel, by name or id; empty if it is public, or if Slack does not
        answer."""
        try:
            known = self.list_public_channels()
        except SlackUnreachable as unreachable:
            log.warning("channel not looked up", channel=channel, why=str(unreachable))
            return ""
        if channel.removeprefix("#") in known:
            return ""
        return f"Slack has no public channel {channel} (create it; into a private one, invite the app)"

    def list_public_channels(self) -> frozenset[str]:
        """The names and the ids of all public channels. Raises `SlackUnreachable`."""
        if self._public is not None and self._now() - self._public[0] < CACHE_FOR:
            return self._public[1]
        with _raise_unreachable():
            pages = _read_pages(
                self._client.conversations_list, types="public_channel", exclude_archived=True, limit=1000
            )
            found = frozenset(
                x for page in pages for channel in page["channels"] for x in (channel["name"], channel["id"])
            )
        with self._lock:
            self._public = (self._now(), found)
        return self._public[1]

    def _get_workspace(self) -> SlackWorkspace:
        """The token's workspace, which is looked up once."""
        if self._workspace is None:
            with _raise_unreachable():
                own = self._client.auth_test()
            self._workspace = SlackWorkspace(
                team=str(own.get("team_id") or ""),
                enterprise=str(own.get("enterprise_id") or ""),
                org_wide=bool(own.get("is_enterprise_install")),
            )
        return self._workspace

    def _get_user(self, user: str, *, fresh: bool) -> SlackUser:
        known = self._users.get(user)
        if known is not None and not fresh and self._now() - known[0] < CACHE_FOR:
            return known[1]
        try:
            found = self._client.users_info(user=user)["user"]
        except SlackApiError as error:
            if error.response["error"] not in _UNKNOWN_USER_ERRORS:
                raise SlackUnreachable(str(error.response["error"])) from error
            person = SlackUser(id=user, handle="", full_member=False)
        except (SlackClientError, OSError) as error:
            raise SlackUnreachable(str(error)) from error
        else:
            person = SlackUser(
                id=user,
                handle=f"@{found['name']}",
                full_member=_is_full_member(found, self._get_workspace()),
                zone=str(found.get("tz") or ""),
            )
        with self._lock:
            self._users[user] = (self._now(), person)
        return person

    def _get_channel_name(self, channel: str) -> str:
        """The channel's name, as in `#support`; empty for direct messages and channels that the app cannot see."""
        known = self._channels.get(channel)
        if known is not None and self._now() - known[0] < CACHE_FOR:
            return known[1]
        if not channel:
            return ""
        try:
            found = self._client.conversations_info(channel=channel)["channel"]
            name = f"#{found['name']}" if found.get("name") and not found.get("is_im") else ""
        except SlackApiError as error:
            if error.response["error"] not in _HIDDEN_CHANNEL_ERRORS:
                raise SlackUnreachable(str(error.response["error"])) from error
            name = ""
        except (SlackClientError, OSError) as error:
            raise SlackUnreachable(str(error)) from error
        with self._lock:
            self._channels[channel] = (self._now(), name)
        return name

    def _get_groups(self, *, fresh: bool) -> tuple[SlackUserGroup, ...]:
        known = self._groups
        if known is not None and not fresh and self._now() - known[0] < CACHE_FOR:
            return known[1]
        with _raise_unreachable():
            listed = self._client.usergroups_list(include_users=True)["usergroups"]
            groups = tuple(
                SlackUserGroup(id=g["id"], handle=f"@{g['handle']}", members=frozenset(self._list_members(g)))
                for g in listed
            )
        with self._lock:
            self._groups = (self._now(), groups)
        return groups

    def _list_members(self, group: Mapping[str, Any]) -> list[str]:
        if "users" in group:
            return list(group["users"])
        return list(self._client.usergroups_users_list(usergroup=group["id"])["users"])

    def _get_user_ids_by_name(self) -> Mapping[str, frozenset[str]]:
        known = self._handles
        if known is not None and self._now() - known[0] < CACHE_FOR:
            return known[1]
        handles: dict[str, set[str]] = {}
        with _raise_unreachable():
            for page in _read_pages(self._client.users_list, limit=200):
                for user in page["members"]:
                    for name in _list_names(user):
                        handles.setdefault(name, set()).add(user["id"])
        with self._lock:
            self._handles = (self._now(), {name: frozenset(ids) for name, ids in handles.items()})
        return self._handles[1]


@contextmanager
def _raise_unreachable() -> Iterator[None]:
    """Raise `SlackUnreachable` in place of what Slack's client raises."""
    try:
        yield
    except SlackApiError as error:
        raise SlackUnreachable(str(error.response["error"])) from error
    except (SlackClientError, OSError) as error:
        raise SlackUnreachable(str(error)) from error


def _read_pages(call: Callable[..., SlackResponse], **arguments: Any) -> Iterator[SlackResponse]:
    """The answers of a call to Slack, page by page."""
    cursor = ""
    while True:
        page = call(**arguments, cursor=cursor)
        yield page
        cursor = (page.get("response_metadata") or {}).get("next_cursor", "")
        if not cursor:
            return


def _list_names(user: Mapping[str, Any]) -> frozenset[str]:
    """The lower-case names of a user: account name and display names; none for bots and deactivated accounts."""
    if user.get("deleted") or user.get("is_bot"):
        return frozenset()
    profile = user.get("profile") or {}
    shown = (user["name"], profile.get("display_name"), profile.get("display_name_normalized"))
    return frozenset(name.lower() for name in shown if name)


def _is_full_member(user: Mapping[str, Any], workspace: SlackWorkspace) -> bool:
    outside = ("is_restricted", "is_ultra_restricted", "is_stranger", "is_bot", "deleted")
    if any(user.get(mark) for mark in outside):
        return False
    # In an organisation people may work in other workspaces than their own, so the organisation counts.
    organisation = str((user.get("enterprise_user") or {}).get("enterprise_id") or "")
    return (
        organisation == workspace.enterprise if organisation else user.get("team_id", workspace.team) == workspace.team
    )
