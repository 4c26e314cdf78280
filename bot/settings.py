"""Reads the environment once into one value; each variable may also come from a file named by NAME_FILE."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bot import setting_values
from bot.actuators.system_api import SystemAccess
from core.rollout.plans.driven_systems import DRIVEN_SYSTEMS

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
DEFAULT_GITHUB_URL = "https://api.github.com"
DEFAULT_DATABASE_URL = "sqlite:///rollout.db"
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
_SOURCE_VARIABLE = re.compile(r"SOURCE_[A-Z0-9_]{1,60}")


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
    blind_after: timedelta = setting_values.DEFAULT_BLIND_AFTER  # without a look for this long nothing grows further
    keep: timedelta | None = setting_values.DEFAULT_KEEP  # how long data outside the log is kept; None: for ever
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
        return setting_values.is_loopback(self.host)


def read_settings(environ: Mapping[str, str], *, listens: bool = True) -> Settings:
    """Read the settings from the environment; SettingsError names everything that is wrong at once.

    A program that does not listen (`listens=False`) ignores HOST and PORT, which other software sets, too.
    """
    problems: list[str] = []
    names = VARIABLES if listens else tuple(name for name in VARIABLES if name not in ("HOST", "PORT"))
    given = {name: value for name in names if (value := _read_variable(environ, name, problems))}
    tick = setting_values.parse_duration(
        "ROLLOUT_TICK", given.get("ROLLOUT_TICK", "10s"), "how often to look, as in 10s or 1m", problems
    )
    settings = Settings(
        database_url=given.get("DATABASE_URL", DEFAULT_DATABASE_URL),
        slack_bot_token=given.get("SLACK_BOT_TOKEN", ""),
        slack_signing_secret=given.get("SLACK_SIGNING_SECRET", ""),
        slack_app_token=given.get("SLACK_APP_TOKEN", ""),
        slack_api_url=setting_values.parse_address("SLACK_API_URL", given, problems),
        policy=setting_values.parse_path("ROLLOUT_POLICY", given, problems),
        tokens=setting_values.parse_tokens(given.get("ROLLOUT_TOKENS", ""), problems),
        tick=tick,
        blind_after=setting_values.parse_blind_after(given.get("ROLLOUT_BLIND_AFTER"), tick, problems),
        keep=setting_values.parse_keep(given.get("ROLLOUT_KEEP_DAYS"), problems),
        help_desks=setting_values.parse_help_desks(given.get("ROLLOUT_HELP_DESKS", ""), problems),
        prices=setting_values.parse_path("ROLLOUT_PRICES", given, problems),
        public_url=setting_values.parse_own_address("ROLLOUT_PUBLIC_URL", given, problems),
        retirements=setting_values.parse_retirements(given, problems),
        github_url=setting_values.parse_bare_address("GITHUB_API_URL", given, problems) or DEFAULT_GITHUB_URL,
        github_token=given.get("GITHUB_TOKEN", ""),
        webhook_url=setting_values.parse_bare_address("DEPLOY_WEBHOOK_URL", given, problems),
        webhook_secret=given.get("DEPLOY_WEBHOOK_SECRET", ""),
        systems=_read_systems(given, problems),
        judge_url=setting_values.parse_address("JUDGE_URL", given, problems),
        judge_token=given.get("JUDGE_TOKEN", ""),
        source_urls=_read_source_urls(environ, problems),
        private_hosts=setting_values.parse_hosts(given.get("ALLOW_PRIVATE_HOSTS", ""), problems),
        host=given.get("HOST", "127.0.0.1"),
        port=setting_values.parse_port(given.get("PORT", "8300"), problems),
        log_format=setting_values.parse_choice("LOG_FORMAT", given.get("LOG_FORMAT", "console"), LOG_FORMATS, problems),
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
            folder = setting_values.parse_folder(f"{prefix}_FOLDER", given, problems)
            access = SystemAccess(url=folder)
        else:
            url = setting_values.parse_bare_address(f"{prefix}_URL", given, problems)
            token = given.get(f"{prefix}_TOKEN", "")
            access = SystemAccess(url=url or (system.default_address if token else ""), token=token)
        if access.url or access.token:
            found.append((name, access))
    return tuple(found)


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
