"""Reads the environment once into one value; each variable may also come from a file named by NAME_FILE."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bot.actuators.system_api import SystemAccess
from core.rollout.plans.driven_systems import DRIVEN_SYSTEMS

TOKEN_ROLES = ("flags", "snapshot", "ingest", "judge", "operator", "admin")
HELP_DESKS = ("zendesk", "intercom", "standard")
LOG_FORMATS = ("console", "json")
DRIVEN_VARIABLES = tuple(
    f"{name.upper()}_{what}"
    for name, system in DRIVEN_SYSTEMS.items()
    for what in (("URL", "TOKEN") if system.address_field else ("FOLDER",))
)
"""Where each driven system is, and the secret for it; of a system of files, their folder."""
VARIABLES = (
    "DATABASE_URL",
    "SLACK_BOT_TOKEN",
    "SLACK_SIGNING_SECRET",
    "SLACK_APP_TOKEN",
    "SLACK_API_URL",
    "ROLLOUT_POLICY",
    "ROLLOUT_TOKENS",
    "ROLLOUT_TICK",
    "ROLLOUT_BLIND_AFTER",
    "ROLLOUT_KEEP_DAYS",
    "ROLLOUT_PUBLIC_URL",
    "ROLLOUT_HELP_DESKS",
    "ROLLOUT_PRICES",
    "ROLLOUT_RETIREMENTS",
    "GITHUB_API_URL",
    "GITHUB_TOKEN",
    "DEPLOY_WEBHOOK_URL",
    "DEPLOY_WEBHOOK_SECRET",
    *DRIVEN_VARIABLES,
    "JUDGE_URL",
    "JUDGE_TOKEN",
    "ALLOW_PRIVATE_HOSTS",
    "HOST",
    "PORT",
    "LOG_FORMAT",
)
DEFAULT_KEEP, MIN_KEEP = timedelta(days=30), timedelta(days=7)
DEFAULT_GITHUB_URL = "https://api.github.com"
_SECRET_OF_ADDRESS = {
    "GITHUB_API_URL": "GITHUB_TOKEN",
    "DEPLOY_WEBHOOK_URL": "DEPLOY_WEBHOOK_SECRET",
    **{f"{name.upper()}_URL": f"{name.upper()}_TOKEN" for name in DRIVEN_SYSTEMS},
}
DEFAULT_DATABASE_URL = "sqlite:///rollout.db"
DEFAULT_BLIND_AFTER = timedelta(minutes=5)
MISSED_LOOKS = 3  # ticks without a look that are no coincidence any more
_SECRET_VARIABLES = (
    "DATABASE_URL",
    "SLACK_BOT_TOKEN",
    "SLACK_SIGNING_SECRET",
    "SLACK_APP_TOKEN",
    "ROLLOUT_TOKENS",
    "ROLLOUT_HELP_DESKS",
    *(name for name in DRIVEN_VARIABLES if name.endswith("_TOKEN")),
    "JUDGE_TOKEN",
    "GITHUB_TOKEN",
    "DEPLOY_WEBHOOK_SECRET",
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SOURCE_VARIABLE = re.compile(r"SOURCE_[A-Z0-9_]{1,60}")
_SLACK_USER_ID = re.compile(r"[UW][A-Z0-9]{5,}")
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_STANDARD_SECRET = re.compile(r"whsec_(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class SettingsError(Exception):
    """The environment cannot be used; `problems` says for each variable what is wrong and how to correct it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of this process. Secrets are left out of `repr`."""

    database_url: str = field(default=DEFAULT_DATABASE_URL, repr=False)
    slack_bot_token: str = field(default="", repr=False)
    slack_signing_secret: str = field(default="", repr=False)
    slack_app_token: str = field(default="", repr=False)
    slack_api_url: str = ""
    policy: Path | None = None
    tokens: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # (role, or role@Slack user, token)
    tick: timedelta = timedelta(seconds=10)
    blind_after: timedelta = DEFAULT_BLIND_AFTER  # a rollout without a look for this long grows no further
    keep: timedelta | None = DEFAULT_KEEP  # how long data outside the log is kept; None: for ever
    public_url: str = ""
    help_desks: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # (help desk, secret of its signatures)
    prices: Path | None = None  # prices of models in place of the built-in ones
    retirements: str = ""  # a path or an http(s) address of the list of models that will be switched off
    github_url: str = DEFAULT_GITHUB_URL
    github_token: str = field(default="", repr=False)
    webhook_url: str = ""  # of the deploy system that reverts code
    webhook_secret: str = field(default="", repr=False)
    systems: tuple[tuple[str, SystemAccess], ...] = ()  # (driven system, where it is and its secret), of those given
    judge_url: str = ""  # where workers have sampled answers judged; empty if judges fetch their work
    judge_token: str = field(default="", repr=False)
    source_urls: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # (SOURCE_…, address with its password)
    private_hosts: frozenset[str] = frozenset()  # hosts of the internal network that may be called
    host: str = "127.0.0.1"
    port: int = 8300
    log_format: str = "console"
    secret_files: tuple[Path, ...] = field(default=(), compare=False)  # where secrets were read from

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every value that must never be shown."""
        return _list_secrets(
            (self.database_url, *(url for _, url in self.source_urls)),
            self.slack_bot_token,
            self.slack_app_token,
            self.slack_signing_secret,
            *(access.token for _, access in self.systems),
            self.judge_token,
            self.github_token,
            self.webhook_secret,
            *(token for _, token in self.tokens),
            *(secret for _, secret in self.help_desks),
        )

    def access_to(self, system: str) -> SystemAccess:
        """What is set of a driven system; empty where nothing is."""
        return dict(self.systems).get(system, SystemAccess())

    @property
    def uses_socket_mode(self) -> bool:
        """Whether Slack is connected over Socket Mode, as opposed to signed HTTP."""
        return bool(self.slack_app_token)

    @property
    def has_slack(self) -> bool:
        """Whether a Slack is configured."""
        return bool(self.slack_bot_token)

    @property
    def is_on_loopback(self) -> bool:
        """Whether only this machine can reach the HTTP server."""
        return is_loopback(self.host)


def read_settings(environ: Mapping[str, str], *, listens: bool = True) -> Settings:
    """Read the settings from the environment; SettingsError names everything that is wrong at once.

    A program that does not listen (`listens=False`) ignores HOST and PORT, which other software sets, too.
    """
    problems: list[str] = []
    names = VARIABLES if listens else tuple(name for name in VARIABLES if name not in ("HOST", "PORT"))
    given = {name: value for name in names if (value := _read_variable(environ, name, problems))}
    tick = _parse_duration(
        "ROLLOUT_TICK", given.get("ROLLOUT_TICK", "10s"), "how often to look, as in 10s or 1m", problems
    )
    settings = Settings(
        database_url=given.get("DATABASE_URL", DEFAULT_DATABASE_URL),
        slack_bot_token=given.get("SLACK_BOT_TOKEN", ""),
        slack_signing_secret=given.get("SLACK_SIGNING_SECRET", ""),
        slack_app_token=given.get("SLACK_APP_TOKEN", ""),
        slack_api_url=_parse_address("SLACK_API_URL", given, problems),
        policy=_parse_path("ROLLOUT_POLICY", given, problems),
        tokens=_parse_tokens(given.get("ROLLOUT_TOKENS", ""), problems),
        tick=tick,
        blind_after=_parse_blind_after(given.get("ROLLOUT_BLIND_AFTER"), tick, problems),
        keep=_parse_keep(given.get("ROLLOUT_KEEP_DAYS"), problems),
        help_desks=_parse_help_desks(given.get("ROLLOUT_HELP_DESKS", ""), problems),
        prices=_parse_path("ROLLOUT_PRICES", given, problems),
        public_url=_parse_address("ROLLOUT_PUBLIC_URL", given, problems).rstrip("/"),
        retirements=_parse_retirements(given, problems),
        github_url=_parse_bare_address("GITHUB_API_URL", given, problems) or DEFAULT_GITHUB_URL,
        github_token=given.get("GITHUB_TOKEN", ""),
        webhook_url=_parse_bare_address("DEPLOY_WEBHOOK_URL", given, problems),
        webhook_secret=given.get("DEPLOY_WEBHOOK_SECRET", ""),
        systems=_read_systems(given, problems),
        judge_url=_parse_address("JUDGE_URL", given, problems),
        judge_token=given.get("JUDGE_TOKEN", ""),
        source_urls=_read_source_urls(environ, problems),
        private_hosts=_parse_hosts(given.get("ALLOW_PRIVATE_HOSTS", ""), problems),
        host=given.get("HOST", "127.0.0.1"),
        port=_parse_port(given.get("PORT", "8300"), problems),
        log_format=_parse_choice("LOG_FORMAT", given.get("LOG_FORMAT", "console"), LOG_FORMATS, problems),
        secret_files=tuple(
            Path(path) for name in _SECRET_VARIABLES if (path := environ.get(f"{name}_FILE", "").strip())
        ),
    )
    if not settings.is_on_loopback and not settings.tokens:
        problems.append(
            f"HOST is {settings.host}, which others can reach, but ROLLOUT_TOKENS is not set, or holds no token: "
            "anybody could act. "
            "Set ROLLOUT_TOKENS=operator:<token>,flags:<token>,ingest:<token>, or HOST=127.0.0.1."
        )
    if problems:
        raise SettingsError(problems)
    return settings


def read_database_url(environ: Mapping[str, str]) -> str:
    """Read DATABASE_URL alone, whatever else is wrong with the environment."""
    problems: list[str] = []
    url = _read_variable(environ, "DATABASE_URL", problems)
    if problems:
        raise SettingsError(problems)
    return url or DEFAULT_DATABASE_URL


def read_secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Like `Settings.secrets`, but also for an environment with invalid settings."""
    ignored: list[str] = []
    given = {name: _read_variable(environ, name, ignored) for name in VARIABLES}
    listed = (*given["ROLLOUT_TOKENS"].split(","), *given["ROLLOUT_HELP_DESKS"].split(","))
    tokens = (part.strip().rpartition(":")[2] for part in listed)
    lists = {"DATABASE_URL", "ROLLOUT_TOKENS", "ROLLOUT_HELP_DESKS"}
    named = (given[name] for name in _SECRET_VARIABLES if name not in lists)
    addresses = (given["DATABASE_URL"], *(url for _, url in _read_source_urls(environ, ignored)))
    return _list_secrets(addresses, *named, *tokens)


def _read_systems(given: Mapping[str, str], problems: list[str]) -> tuple[tuple[str, SystemAccess], ...]:
    """(driven system, access) of those of which anything is set."""
    found: list[tuple[str, SystemAccess]] = []
    for name, system in DRIVEN_SYSTEMS.items():
        prefix = name.upper()
        if not system.address_field:
            folder = _parse_folder(f"{prefix}_FOLDER", given, problems)
            access = SystemAccess(url=folder)
        else:
            url, token = _parse_bare_address(f"{prefix}_URL", given, problems), given.get(f"{prefix}_TOKEN", "")
            access = SystemAccess(url=url or (system.default_address if token else ""), token=token)
        if access.url or access.token:
            found.append((name, access))
    return tuple(found)


def _parse_folder(name: str, given: Mapping[str, str], problems: list[str]) -> str:
    """The folder's whole path; empty if it is not set or is none."""
    written = given.get(name, "")
    if written and not Path(written).is_dir():
        problems.append(f"{name} is {written!r}, which is no folder: create it, or correct the path.")
        return ""
    return str(Path(written).resolve()) if written else ""


def _read_source_urls(environ: Mapping[str, str], problems: list[str]) -> tuple[tuple[str, str], ...]:
    """(variable, address) of every source, each from a variable that begins with SOURCE_, or from its file."""
    names = sorted({name.removesuffix("_FILE") for name in environ if _SOURCE_VARIABLE.fullmatch(name)})
    return tuple((name, url) for name in names if (url := _read_variable(environ, name, problems)))


def _list_secrets(addresses: Iterable[str], *others: str) -> tuple[str, ...]:
    """The passwords in database addresses, and the others, where there is one."""
    passwords: list[str] = []
    for address in addresses:
        try:
            found = urlsplit(address).password or ""
        except ValueError:  # not a URL, so treat all of it as secret
            found = address
        passwords += [found, unquote(found)]
    return tuple(secret for secret in (*passwords, *others) if secret)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name other than localhost counts as reachable."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _read_variable(environ: Mapping[str, str], name: str, problems: list[str]) -> str:
    """The value of NAME, or the content of the file that NAME_FILE names; empty if neither is set."""
    value, path = environ.get(name, "").strip(), environ.get(f"{name}_FILE", "").strip()
    if value and path:
        problems.append(f"{name} and {name}_FILE are both set. Keep one.")
    if value or not path:
        return value
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        problems.append(f"{name}_FILE names {path}, which cannot be read: {reason}.")
        return ""


def _parse_tokens(text: str, problems: list[str]) -> tuple[tuple[str, str], ...]:
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


def _parse_help_desks(text: str, problems: list[str]) -> tuple[tuple[str, str], ...]:
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


def _parse_duration(name: str, text: str, expected: str, problems: list[str]) -> timedelta:
    """A positive duration such as 10s or 1.5m; if invalid, 10 s and a problem that asks for `expected`."""
    found = _DURATION.fullmatch(text)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds <= 0:
        problems.append(f"{name} is {text!r}: write {expected}.")
        return timedelta(seconds=10)
    return timedelta(seconds=seconds)


def _parse_blind_after(text: str | None, tick: timedelta, problems: list[str]) -> timedelta:
    """At least `MISSED_LOOKS` ticks, since a few late looks do not mean a dead worker."""
    least = MISSED_LOOKS * tick
    if text is None:
        return max(DEFAULT_BLIND_AFTER, least)
    what = "how long a rollout may go without a look before it stops growing, as in 5m"
    found = _parse_duration("ROLLOUT_BLIND_AFTER", text, what, problems)
    if _DURATION.fullmatch(text) and found < least:
        problems.append(
            f"ROLLOUT_BLIND_AFTER is {text}, less than {MISSED_LOOKS} times ROLLOUT_TICK: looks that are only late "
            "would count as missing. Write more, or leave it out."
        )
    return found


def _parse_keep(text: str | None, problems: list[str]) -> timedelta | None:
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


def _parse_port(text: str, problems: list[str]) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65535:
        problems.append(f"PORT is {text!r}: write a number from 0 (any free one) to 65535.")
    return port


def _parse_path(name: str, given: Mapping[str, str], problems: list[str]) -> Path | None:
    """The path of a file, which must exist; None if not set."""
    if name not in given:
        return None
    path = Path(given[name])
    if not path.is_file():
        problems.append(f"{name} names {path}, but there is no such file.")
    return path


def _parse_address(name: str, given: Mapping[str, str], problems: list[str]) -> str:
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


def _parse_retirements(given: Mapping[str, str], problems: list[str]) -> str:
    """An http(s) address, or the path of a file that exists; empty if not set or invalid."""
    text = given.get("ROLLOUT_RETIREMENTS", "")
    if "://" in text:
        return _parse_address("ROLLOUT_RETIREMENTS", given, problems)
    if text and not Path(text).is_file():
        problems.append(f"ROLLOUT_RETIREMENTS names {text}, but there is no such file.")
        return ""
    return text


def _parse_bare_address(name: str, given: Mapping[str, str], problems: list[str]) -> str:
    """Normalised like the addresses in rollout files: scheme and host in lower case, no trailing slash."""
    if "@" in given.get(name, ""):
        secret = _SECRET_OF_ADDRESS[name]
        problems.append(f"{name} holds a user or a password. Write the bare address; the secret is {secret}.")
        return ""
    address = _parse_address(name, given, problems)
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}" if address else ""


def _parse_hosts(text: str, problems: list[str]) -> frozenset[str]:
    """Lower-case host names and addresses from a comma-separated list."""
    hosts = [part.strip().lower() for part in text.split(",") if part.strip()]
    problems += [
        f"ALLOW_PRIVATE_HOSTS names {host!r}: write hosts only, as in flags.internal,10.0.0.7,fd00::7."
        for host in hosts
        if not _HOST.fullmatch(host)
    ]
    return frozenset(hosts)


def _parse_choice(name: str, text: str, allowed: tuple[str, ...], problems: list[str]) -> str:
    if text not in allowed:
        problems.append(f"{name} is {text!r}: it must be one of {', '.join(allowed)}.")
    return text
