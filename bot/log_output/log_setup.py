"""Where a process logs to, in which form, and that no secret gets there."""

import logging
from typing import Any

import structlog

from bot.log_output import log_lines
from bot.log_output.redaction import RedactingFormatter, SecretRedactor
from bot.settings import Settings


def configure_logging(settings: Settings) -> None:
    """Log to standard output as text or JSON, and warnings of libraries to standard error; secrets are redacted."""
    redact = SecretRedactor(settings.secrets)
    redact.install_excepthooks()
    renderer: Any = structlog.processors.JSONRenderer()
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            renderer,
            redact.redact_log_line,
        ],
        logger_factory=log_lines.build_log_printer,
    )
    libraries = logging.StreamHandler()
    libraries.setFormatter(RedactingFormatter(redact))
    logging.basicConfig(level=logging.WARNING, handlers=[libraries])
