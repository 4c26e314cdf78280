"""No token, password or response URL reaches a log line, an exception, an error line or a report."""

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from hypothesis import assume, given
from hypothesis import strategies as st

from bot import doctor
from bot.log_output.log_setup import configure_logging
from bot.log_output.redaction import RedactingFormatter, SecretRedactor
from bot.settings import Settings, read_secrets, read_settings

WORDS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)
TAIL = st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=12, max_size=40)
ANY_SECRET = st.text(alphabet=st.characters(min_codepoint=33, exclude_categories=["Cs"]), min_size=8, max_size=40)
FORMS = (
    "xoxb-{}",
    "xoxp-1-{}",
    "xoxe.xoxb-1-{}",
    "xapp-1-A0-{}",
    "Bearer {}",
    "authorization: bearer {}",
    "postgresql://rampart:{}@db.example.com/log",
    "https://user:{}@proxy.example.com:8080/",
    "https://hooks.slack.com/commands/T1/2/{}",
    "https://example.com/hook?token={}&x=1",
    "password={}",
    '{{"api_key": "{}"}}',
)


@given(form=st.sampled_from(FORMS), tail=TAIL, before=WORDS, after=WORDS)
def test_what_looks_like_a_secret_is_gone_wherever_it_stands(form: str, tail: str, before: str, after: str) -> None:
    assume(tail not in before + after)
    assert tail not in SecretRedactor(())(f"{before} {form.format(tail)} {after}")


@given(secret=ANY_SECRET, before=WORDS, after=WORDS)
def test_what_is_configured_as_secret_is_gone_whatever_it_looks_like(secret: str, before: str, after: str) -> None:
    said, failed = logged(secret, f"{before}{secret}{after}")
    for line in (*said, failed):
        assert secret not in line
        assert json.dumps(secret)[1:-1] not in line


def logged(secret: str, message: str) -> tuple[list[str], str]:
    """What structlog (as lines and as JSON) and a library's logger write about it, with a traceback each."""
    redact = SecretRedactor([secret])
    said = []
    for renderer in (structlog.dev.ConsoleRenderer(colors=False), structlog.processors.JSONRenderer()):
        processors = [structlog.processors.format_exc_info, renderer, redact.redact_log_line]
        written: list[str] = []

        class Kept:
            def error(self, line: str, written: list[str] = written) -> None:
                written.append(line)

        logger = structlog.wrap_logger(Kept(), processors=processors)
        logger.error("failed", why=message, exc_info=ValueError(message))
        said += written
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(RedactingFormatter(redact))
    library = logging.Logger("slack_sdk")
    library.addHandler(handler)
    library.error("failed: %s", message, exc_info=ValueError(message))
    return said, stream.getvalue()


@given(text=st.text(alphabet="abcdefghijklmnopqrstuvwxyz .,:", max_size=80))
def test_ordinary_words_stay(text: str) -> None:
    assert SecretRedactor(["a-long-secret"])(text) == text


SECRETS = {
    "SLACK_BOT_TOKEN": "xoxb-1-verysecretbot",
    "SLACK_APP_TOKEN": "xapp-1-verysecretapp",
    "SLACK_SIGNING_SECRET": "0123456789verysecretsigning",
    "ROLLOUT_TOKENS": "operator:verysecretoperator,flags:verysecretflags",
    "UNLEASH_TOKEN": "*:*.verysecretunleash",
    "LANGFUSE_TOKEN": "pk-lf-1:sk-verysecretlangfuse",
    "DATABASE_URL": "postgresql://rampart:verysecretpassword@127.0.0.1:1/log",
}


def test_every_configured_secret_is_known_also_where_it_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("xoxb-1-from-a-file\n")
    environ = {**SECRETS, "SLACK_BOT_TOKEN": "", "SLACK_BOT_TOKEN_FILE": str(file)}
    for known in (read_settings(environ).secrets, read_secrets(environ)):
        assert {"xoxb-1-from-a-file", "verysecretoperator", "verysecretflags", "verysecretpassword"} <= set(known)
        assert {SECRETS["UNLEASH_TOKEN"], SECRETS["LANGFUSE_TOKEN"]} <= set(known)


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_the_programs_own_logging_is_wired_to_it(log_format: str) -> None:
    """In a process of its own, as a program starts: our log, a library's, and what nobody catches in a thread."""
    program = """
import logging, os, threading, structlog
from bot.log_output.log_setup import configure_logging
from bot.settings import read_settings
configure_logging(read_settings(os.environ))
secret = os.environ["SLACK_SIGNING_SECRET"]
structlog.get_logger().error("ours", why=secret)
for name in ("uvicorn.error", "slack_sdk", "sqlalchemy.pool", "psycopg"):
    logging.getLogger(name).warning("theirs %s", secret)
def work():
    raise RuntimeError(secret)
thread = threading.Thread(target=work)
thread.start()
thread.join()
raise RuntimeError(secret)
"""
    ended = run([sys.executable, "-c", program], LOG_FORMAT=log_format)
    said = ended.stdout + ended.stderr
    assert said.count("[redacted]") >= 7
    assert said.count("RuntimeError: ") == 2
    assert "verysecret" not in said


@pytest.mark.parametrize("arguments", [["doctor"], ["audit", "verify"], ["serve"], ["list"]])
def test_the_command_line_says_what_is_wrong_and_no_secret(arguments: list[str]) -> None:
    ended = run([str(Path(sys.executable).with_name("rollout")), *arguments])
    assert ended.returncode != 0
    assert ended.stderr or ended.stdout
    assert "verysecret" not in ended.stdout + ended.stderr


def test_the_doctor_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    told = doctor.CheckResult(what="slack", ok=False, text="auth.test says verysecretbot, xoxb-9-abcdef")
    monkeypatch.setattr(doctor, "_run_checks", lambda *_: iter([told]))
    (found,) = doctor.examine_installation(Settings(slack_bot_token="verysecretbot"))
    assert found.text == "auth.test says [redacted], xoxb-[redacted]"


def test_configuring_it_twice_is_harmless() -> None:
    before = structlog.get_config()
    for _ in range(2):
        configure_logging(Settings(slack_bot_token="verysecretbot"))
    structlog.configure(**before)


def run(command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    environ = {**{k: v for k, v in os.environ.items() if k in ("PATH", "HOME")}, **SECRETS, **more}
    environ["SLACK_API_URL"] = "http://127.0.0.1:1/api/"
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
