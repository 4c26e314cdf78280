"""The environment: read once, errors all at once, secrets never shown."""

from datetime import timedelta
from pathlib import Path

import pytest

from bot import setting_values, settings
from bot.actuators.system_api import SystemAccess
from bot.settings import Settings, SettingsError
from core.rollout.state.world import ENDED_KEPT_FOR

TOKENS = "operator:operator-secret, flags:flags-secret"


def test_an_empty_environment_is_a_loopback_server_on_sqlite() -> None:
    found = settings.read_settings({})
    assert found == Settings()
    assert (found.database_url, found.host, found.port) == ("sqlite:///rollout.db", "127.0.0.1", 8300)
    assert found.tick == timedelta(seconds=10)
    assert (found.has_slack, found.uses_socket_mode, found.is_on_loopback) == (False, False, True)


def test_every_variable_is_read(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1")
    found = settings.read_settings(
        {
            "DATABASE_URL": "postgres://localhost/x",
            "SLACK_BOT_TOKEN": "xoxb-1",
            "SLACK_SIGNING_SECRET": "s",
            "SLACK_APP_TOKEN": "xapp-1",
            "SLACK_API_URL": "http://127.0.0.1:1/api/",
            "ROLLOUT_POLICY": str(policy),
            "ROLLOUT_TOKENS": TOKENS,
            "ROLLOUT_TICK": "500ms",
            "ROLLOUT_BLIND_AFTER": "90s",
            "ROLLOUT_KEEP_DAYS": "60",
            "ROLLOUT_PUBLIC_URL": "https://rollout.example.com/",
            "UNLEASH_URL": "https://Flags.example.com/unleash/",
            "UNLEASH_TOKEN": "user:1",
            "ALLOW_PRIVATE_HOSTS": "flags.internal, 10.0.0.7,FD00::7",
            "HOST": "0.0.0.0",
            "PORT": "9000",
            "LOG_FORMAT": "json",
        }
    )
    assert found == Settings(
        database_url="postgres://localhost/x",
        slack_bot_token="xoxb-1",
        slack_signing_secret="s",
        slack_app_token="xapp-1",
        slack_api_url="http://127.0.0.1:1/api/",
        policy=policy,
        tokens=(("operator", "operator-secret"), ("flags", "flags-secret")),
        tick=timedelta(milliseconds=500),
        blind_after=timedelta(seconds=90),
        keep=timedelta(days=60),
        public_url="https://rollout.example.com",
        systems=(("unleash", SystemAccess(url="https://flags.example.com/unleash", token="user:1")),),
        private_hosts=frozenset({"flags.internal", "10.0.0.7", "fd00::7"}),
        host="0.0.0.0",
        port=9000,
        log_format="json",
    )


@pytest.mark.parametrize("rest", ["/rampart", "/rampart/", "?a=b", "#top"])
def test_it_cannot_be_served_below_a_path(rest: str) -> None:
    with pytest.raises(SettingsError, match=r"leave out .*a host name or a port of its own"):
        settings.read_settings({"ROLLOUT_PUBLIC_URL": f"https://example.com{rest}"})


@pytest.mark.parametrize("name", settings.VARIABLES)
def test_each_may_come_from_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "value"
    value = {
        "ROLLOUT_POLICY": str(path),
        "ROLLOUT_PRICES": str(path),
        "ROLLOUT_HELP_DESKS": "zendesk:secret",
        "ROLLOUT_RETIREMENTS": str(path),
        "ROLLOUT_TOKENS": TOKENS,
        "ROLLOUT_TICK": "1m",
        "ROLLOUT_BLIND_AFTER": "10m",
        "ROLLOUT_KEEP_DAYS": "0",
        "PORT": "9000",
        "LOG_FORMAT": "json",
        "HOST": "::1",
        "SLACK_API_URL": "http://127.0.0.1:1/",
        "ROLLOUT_PUBLIC_URL": "http://127.0.0.1:1",
        "JUDGE_URL": "http://127.0.0.1:1",
        **{name: "http://127.0.0.1:1" for name in settings.DRIVEN_VARIABLES if name.endswith("_URL")},
        "FLAGD_FOLDER": str(path.parent),
        "GITHUB_API_URL": "http://127.0.0.1:1",
        "DEPLOY_WEBHOOK_URL": "http://127.0.0.1:1",
    }.get(name, "text")
    path.write_text(f"{value}\n")
    from_file = settings.read_settings({f"{name}_FILE": str(path)})
    assert from_file == settings.read_settings({name: value})
    assert from_file != settings.read_settings({})


def test_secrets_are_never_shown() -> None:
    environ = {
        "DATABASE_URL": "postgres://u:hidden-1@h/x",
        "SLACK_BOT_TOKEN": "hidden-2",
        "SLACK_SIGNING_SECRET": "hidden-3",
        "SLACK_APP_TOKEN": "hidden-4",
        "ROLLOUT_TOKENS": "operator:hidden-5",
        **{name: "hidden-6" for name in settings.DRIVEN_VARIABLES if name.endswith("_TOKEN")},
        "GITHUB_TOKEN": "hidden-7",
        "DEPLOY_WEBHOOK_SECRET": "hidden-8",
    }
    assert "hidden" not in repr(settings.read_settings(environ))
    with pytest.raises(SettingsError) as refused:
        settings.read_settings({"ROLLOUT_TOKENS": "hidden-6789, boss:hidden-9999", "PORT": "x"})
    assert "hidden" not in str(refused.value)
    assert len(refused.value.problems) == 3


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "rollout.internal"])
def test_others_may_reach_it_only_with_tokens(host: str) -> None:
    with pytest.raises(SettingsError, match="ROLLOUT_TOKENS is not set"):
        settings.read_settings({"HOST": host})
    assert settings.read_settings({"HOST": host, "ROLLOUT_TOKENS": TOKENS}).host == host


@pytest.mark.parametrize("tokens", [",", " , ,", ";"])
def test_a_list_without_a_token_is_no_list(tokens: str) -> None:
    for host in ("0.0.0.0", "127.0.0.1"):
        with pytest.raises(SettingsError, match="ROLLOUT_TOKENS"):
            settings.read_settings({"HOST": host, "ROLLOUT_TOKENS": tokens})


def test_a_token_may_be_bound_to_a_person() -> None:
    read = settings.read_settings({"ROLLOUT_TOKENS": "operator@U0DANA00001:secret-1,flags:secret-2"})
    assert read.tokens == (("operator@U0DANA00001", "secret-1"), ("flags", "secret-2"))


@pytest.mark.parametrize("holder", ["operator@dana", "operator@", "operator@@dana", "boss@U0DANA00001"])
def test_a_token_is_bound_by_an_id_of_slack(holder: str) -> None:
    with pytest.raises(SettingsError, match=r"U0DANA00001:<token>|the role before the colon"):
        settings.read_settings({"ROLLOUT_TOKENS": f"{holder}:secret-1"})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_on_loopback_no_token_is_needed(host: str) -> None:
    assert settings.read_settings({"HOST": host}).tokens == ()


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"PORT": "http"}, "PORT is 'http'"),
        ({"PORT": "70000"}, "65535"),
        ({"ROLLOUT_TICK": "10"}, "as in 10s"),
        ({"ROLLOUT_TICK": "0s"}, "as in 10s"),
        ({"ROLLOUT_BLIND_AFTER": "soon"}, "as in 5m"),
        ({"ROLLOUT_KEEP_DAYS": "6"}, "at least 7, or 0 for ever"),
        ({"ROLLOUT_KEEP_DAYS": "for ever"}, "at least 7, or 0 for ever"),
        ({"ROLLOUT_BLIND_AFTER": "1m", "ROLLOUT_TICK": "30s"}, "less than 3 times ROLLOUT_TICK"),
        ({"LOG_FORMAT": "xml"}, "console, json"),
        ({"ROLLOUT_POLICY": "/nowhere/policy.yaml"}, "no such file"),
        ({"ROLLOUT_RETIREMENTS": "/nowhere/retirements.json"}, "no such file"),
        ({"ROLLOUT_RETIREMENTS": "ftp://models.example.com"}, "write an address"),
        ({"SLACK_API_URL": "slack"}, "write an address"),
        ({"UNLEASH_URL": "flags.example.com"}, "write an address"),
        ({"FLAGD_FOLDER": "/nowhere/flags"}, "FLAGD_FOLDER is '/nowhere/flags', which is no folder"),
        ({"UNLEASH_URL": "https://[flags"}, "write an address"),
        ({"GITHUB_API_URL": "https://ghp_1@github.example.com"}, "the secret is GITHUB_TOKEN"),
        ({"DEPLOY_WEBHOOK_URL": "deploy"}, "write an address"),
        ({"UNLEASH_URL": "https://dana:hidden@flags.example.com"}, "^UNLEASH_URL holds a user or a password"),
        ({"ALLOW_PRIVATE_HOSTS": "https://flags.internal"}, "names 'https://flags.internal': write hosts only"),
        ({"ALLOW_PRIVATE_HOSTS": "10.0.0.0/8"}, "write hosts only"),
        ({"ROLLOUT_TOKENS": "operator"}, "entry 1: write role:token"),
        (
            {"ROLLOUT_TOKENS": "boss:long-enough-token"},
            "must be one of flags, snapshot, ingest, judge, operator, admin",
        ),
        ({"ROLLOUT_TOKENS": "flags:one,operator:"}, "entry 2: there is no token after operator"),
        ({"PORT_FILE": "/nowhere/port"}, "cannot be read"),
        ({"PORT": "1", "PORT_FILE": "/nowhere/port"}, "Keep one"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        settings.read_settings(environ)


def test_without_looks_for_three_ticks_nobody_is_dead_yet() -> None:
    assert settings.read_settings({"ROLLOUT_TICK": "1m"}).blind_after == timedelta(minutes=5)
    assert settings.read_settings({"ROLLOUT_TICK": "10m"}).blind_after == timedelta(minutes=30)


def test_what_is_not_the_log_is_kept_for_thirty_days_or_for_ever() -> None:
    assert settings.read_settings({}).keep == timedelta(days=30)
    assert settings.read_settings({"ROLLOUT_KEEP_DAYS": "0"}).keep is None
    assert setting_values.MIN_KEEP >= ENDED_KEPT_FOR, "what is in memory keeps its sums"
