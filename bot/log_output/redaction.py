"""Keeps secrets out of logs, errors and reports: configured values, and tokens recognised by their form."""

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

REDACTED = "[redacted]"
_MIN_SECRET_LENGTH = 6  # characters; a shorter "secret" would blank out ordinary words

_NAMES = r"(?:access_|refresh_|api_?|client_|signing_)?(?:token|key|secret|password|passwd|pwd|signature|sig)"
_SECRET_PATTERNS = (
    (re.compile(r"(xox[a-z](?:\.xox[a-z])?|xapp|xwfp)-[\w.%/+=-]+"), rf"\1-{REDACTED}"),
    (re.compile(r"(?i)\b(bearer|basic)(\s+)[\w.~+/=-]{8,}"), rf"\1\2{REDACTED}"),
    (re.compile(r"(?i)(https?://hooks\.slack\.com)/[^\s\"'<>\\]*"), rf"\1/{REDACTED}"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@\"']*):[^\s/\"']+@"), rf"\1:{REDACTED}@"),
    (re.compile(rf"(?i)\b({_NAMES})=[^\s&\"'#,;)]+"), rf"\1={REDACTED}"),
    (re.compile(rf"(?i)([\"']{_NAMES}\\?[\"']\s*[:=]\s*\\?[\"'])[^\"'\\]+"), rf"\1{REDACTED}"),
)


class SecretRedactor:
    """Replaces secrets in text."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {form for secret in secrets if len(secret) >= _MIN_SECRET_LENGTH for form in _list_spellings(secret)}
        longest_first = sorted(known, key=len, reverse=True)
        self._configured_secrets = re.compile("|".join(re.escape(x) for x in longest_first)) if known else None

    def __call__(self, text: str) -> str:
        """`text` with every secret replaced by `REDACTED`."""
        if self._configured_secrets is not None:
            text = self._configured_secrets.sub(REDACTED, text)
        for form, instead in _SECRET_PATTERNS:
            text = form.sub(instead, text)
        return text

    def redact_log_line(self, _logger: object, _method: str, rendered: Any) -> Any:
        """structlog's last processor, which gets the rendered line."""
        return self(rendered) if isinstance(rendered, str) else rendered

    def install_excepthooks(self) -> None:
        """Redact the tracebacks of uncaught exceptions, too."""

        def write(kind: type[BaseException], error: BaseException | None, trace: Any) -> None:
            sys.stderr.write(self("".join(traceback.format_exception(kind, error, trace))))

        sys.excepthook = write
        threading.excepthook = lambda broken: write(broken.exc_type, broken.exc_value, broken.exc_traceback)


class RedactingFormatter(logging.Formatter):
    """Formats log records of libraries in the usual way and redacts the result, tracebacks included."""

    def __init__(self, redact: SecretRedactor) -> None:
        super().__init__(logging.BASIC_FORMAT)
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


def _list_spellings(secret: str) -> tuple[str, ...]:
    """The secret as written in plain text, in JSON, in Python's repr and in a URL."""
    as_json = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    return (secret, *as_json, repr(secret)[1:-1], quote(secret, safe=""), quote(secret))
