"""Parses the value of one setting each. What is wrong with it, and what to write, is added to a list of problems."""

import ipaddress
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from core import durations
from core.rollout.plans.driven_systems import DRIVEN_SYSTEMS

TOKEN_ROLES = ("flags", "snapshot", "ingest", "judge", "operator", "admin")
HELP_DESKS = ("zendesk", "intercom", "standard")
DEFAULT_KEEP, MIN_KEEP = timedelta(days=30), timedelta(days=7)
DEFAULT_BLIND_AFTER = timedelta(minutes=5)
MISSED_LOOKS = 3  # ticks without a look that are no coincidence any more
_SECRET_OF_ADDRESS = {
    "GITHUB_API_URL": "GITHUB_TOKEN",
    "DEPLOY_WEBHOOK_URL": "DEPLOY_WEBHOOK_SECRET",
    **{f"{name.upper()}_URL": f"{name.upper()}_TOKEN" for name in DRIVEN_SYSTEMS},
}
_SLACK_USER_ID = re.compile(r"[UW][A-Z0-9]{5,}")
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_STANDARD_SECRET = re.compile(r"whsec_(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def parse_folder(name: str, given: Mapping[str, str], problems: list[str]) -> str:
    """The folder's whole path; empty if it is not set or is none."""
    written = given.get(name, "")
    if written and not Path(written).is_dir():
        problems.append(f"{name} is {written!r}, which is no folder: create it, or correct the path.")
        return ""
    return str(Path(written).resolve()) if written else ""


def parse_tokens(text: str, problems: list[str]) -> tuple[tuple[str, str], ...]:
    """(role or role@Slack user, token) of each valid entry; invalid ones are added to `problems`."""
    tokens: list[tuple[str, str]] = []
    for number, part in enumerate((p.strip() for p in text.split(",") if p.strip()), 1):
        holder, colon, token = (piece.strip() for piece in part.partition(":"))
        role, at, person = holder.partition("@")
        where = f"ROLLOUT_TOKENS, entry {number}"
        # Never show the text itself: what precedes the colon may be the token.
        if not colon:
            problems.append(f"{where}: write role:token, as in operator:<token>.")
        elif role not in TOKEN_ROLES:
            problems.append(f"{where}: the role before the colon must be one of {', '.join(TOKEN_ROLES)}.")
        elif at and not _SLACK_USER_ID.fullmatch(person):
            problems.append(f"{where}: there is no Slack user id after {role}@, as in {role}@U0DANA00001:<token>.")
        elif not token:
            problems.append(f"{where}: there is no token after {role}:.")
        else:
            tokens.append((holder, token))
    if text and not tokens and not problems:
        problems.append("ROLLOUT_TOKENS holds no token. Write role:token, as in operator:<token>, or leave it out.")
    return tuple(tokens)


def parse_help_desks(text: str, problems: list[str]) -> tuple[tuple[str, str], ...]:
    """(help desk, secret) of each valid entry; invalid ones are added to `problems`."""
    found: dict[str, str] = {}
    for number, part in enumerate((p.strip() for p in text.split(",") if p.strip()), 1):
        desk, _, secret = (piece.strip() for piece in part.partition(":"))
        where = f"ROLLOUT_HELP_DESKS, entry {number}"
        # Never show the text itself: what precedes the colon may be the secret.
        if desk not in HELP_DESKS or not secret:
            problems.append(f"{where}: write desk:secret, where the desk is one of {', '.join(HELP_DESKS)}.")
        elif desk in found:
            problems.append(f"{where}: there is a secret for {desk} already.")
        elif desk == "standard" and not _STANDARD_SECRET.fullmatch(secret):
            problems.append(f"{where}: the secret of standard is whsec_ and base64, as in standard:whsec_<base64>.")
        else:
            found[desk] = secret
    return tuple(found.items())


def parse_duration(name: str, text: str, expected: str, problems: list[str]) -> timedelta:
    """A positive duration such as 10s or 1.5m; if invalid, 10 s and a problem that asks for `expected`."""
    with suppress(ValueError):
        if found := durations.parse_duration(text):
            return found
    problems.append(f"{name} is {text!r}: write {expected}.")
    return timedelta(seconds=10)


def parse_blind_after(text: str | None, tick: timedelta, problems: list[str]) -> timedelta:
    """At least `MISSED_LOOKS` ticks, since a few late looks do not mean a dead worker."""
    least = MISSED_LOOKS * tick
    if text is None:
        return max(DEFAULT_BLIND_AFTER, least)
    what, known = "how long a rollout may go without a look before it stops growing, as in 5m", len(problems)
    found = parse_duration("ROLLOUT_BLIND_AFTER", text, what, problems)
    if found < least and len(problems) == known:
        problems.append(
            f"ROLLOUT_BLIND_AFTER is {text}, less than {MISSED_LOOKS} times ROLLOUT_TICK: looks that are only late "
            "would count as missing. Write more, or leave it out."
        )
    return found


def parse_keep(text: str | None, problems: list[str]) -> timedelta | None:
    """How long data outside the log is kept, from a number of days; None (for ever) for 0."""
    if text is None:
        return DEFAULT_KEEP
    days = int(text) if text.isdecimal() else -1
    if days == 0:
        return None
    if not MIN_KEEP.days <= days <= 36_500:
        problems.append(
            f"ROLLOUT_KEEP_DAYS is {text!r}: write for how many days to keep looks, sums and messages of ended "
            f"rollouts, at least {MIN_KEEP.days}, or 0 for ever."
        )
        return DEFAULT_KEEP
    return timedelta(days=days)


def parse_port(text: str, problems: list[str]) -> int:
    """The number of a port; 0 for any free one."""
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65535:
        problems.append(f"PORT is {text!r}: write a number from 0 (any free one) to 65535.")
    return port


def parse_path(name: str, given: Mapping[str, str], problems: list[str]) -> Path | None:
    """The path of a file, which must exist; None if not set."""
    if name not in given:
        return None
    path = Path(given[name])
    if not path.is_file():
        problems.append(f"{name} names {path}, but there is no such file.")
    return path


def parse_address(name: str, given: Mapping[str, str], problems: list[str]) -> str:
    """An http(s) URL; empty if not set or invalid."""
    text = given.get(name, "")
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.netloc)
    except ValueError:
        sound = False
    if not sound:
        problems.append(f"{name} is {text!r}: write an address like https://rollout.example.com.")
        return ""
    return text


def parse_own_address(name: str, given: Mapping[str, str], problems: list[str]) -> str:
    """The http(s) address of this program, without a path, as pages and event streams lead to the root of their host;
    empty if not set or invalid."""
    address = parse_address(name, given, problems).rstrip("/")
    rest = urlsplit(address)._replace(scheme="", netloc="").geturl()
    if rest:
        problems.append(
            f"{name} is {address!r}: leave out {rest}, and give Rampart a host name or a port of its own. Its pages "
            "and event streams lead to the root of their host, so it cannot be served below a path."
        )
        return ""
    return address


def parse_retirements(given: Mapping[str, str], problems: list[str]) -> str:
    """An http(s) address, or the path of a file that exists; empty if not set or invalid."""
    text = given.get("ROLLOUT_RETIREMENTS", "")
    if "://" in text:
        return parse_address("ROLLOUT_RETIREMENTS", given, problems)
    if text and not Path(text).is_file():
        problems.append(f"ROLLOUT_RETIREMENTS names {text}, but there is no such file.")
        return ""
    return text


def parse_bare_address(name: str, given: Mapping[str, str], problems: list[str]) -> str:
    """Normalised like the addresses in rollout files: scheme and host in lower case, no trailing slash."""
    if "@" in given.get(name, ""):
        secret = _SECRET_OF_ADDRESS[name]
        problems.append(f"{name} holds a user or a password. Write the bare address; the secret is {secret}.")
        return ""
    address = parse_address(name, given, problems)
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}" if address else ""


def parse_hosts(text: str, problems: list[str]) -> frozenset[str]:
    """Lower-case host names and addresses from a comma-separated list."""
    hosts = [part.strip().lower() for part in text.split(",") if part.strip()]
    problems += [
        f"ALLOW_PRIVATE_HOSTS names {host!r}: write hosts only, as in flags.internal,10.0.0.7,fd00::7."
        for host in hosts
        if not _HOST.fullmatch(host)
    ]
    return frozenset(hosts)


def parse_choice(name: str, text: str, allowed: tuple[str, ...], problems: list[str]) -> str:
    """The value, which must be one of those allowed."""
    if text not in allowed:
        problems.append(f"{name} is {text!r}: it must be one of {', '.join(allowed)}.")
    return text


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name other than localhost counts as reachable."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
