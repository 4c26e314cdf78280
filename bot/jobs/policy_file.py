"""The policy file that the settings name, applied whenever it changes."""

from datetime import datetime
from pathlib import Path
from uuid import uuid4

import structlog

from core.files.syntax.problems import UnreadableFile
from core.rollout.context import Actor
from core.rollout.refusal import Refused
from core.service import apply_file
from core.service.service import RolloutService

log = structlog.get_logger()

_SETTINGS_ACTOR = Actor(id="system:settings", handle="ROLLOUT_POLICY")


class PolicyFileWatcher:
    """The file named by `ROLLOUT_POLICY`: applied at the start and again whenever it changes."""

    def __init__(self, path: Path, service: RolloutService) -> None:
        self._path = path
        self._service = service
        self._applied_stamp: tuple[int, int] | None = None

    def apply(self, now: datetime) -> None:
        """Apply the file; raises `UnreadableFile` or `Refused`. Applying the same content again changes nothing."""
        self._applied_stamp = self._read_stamp()
        apply_file.apply_text(
            self._service,
            self._path.read_text(encoding="utf-8"),
            str(self._path),
            by=_SETTINGS_ACTOR,
            at=now,
            command_id=f"policy:{uuid4().hex}",
        )

    def apply_if_changed(self, now: datetime) -> None:
        """Apply the file if it has changed. If that fails, log why and keep the old policy."""
        if self._read_stamp() == self._applied_stamp:
            return
        try:
            self.apply(now)
        except (UnreadableFile, Refused, OSError, UnicodeDecodeError) as error:
            what = "the policy file cannot be applied; the old policy stays in force"
            log.error(what, file=str(self._path), why=str(error))  # noqa: TRY400 - the file is wrong, not the program
        else:
            log.warning("the policy file was applied again", file=str(self._path))

    def _read_stamp(self) -> tuple[int, int]:
        """(modification time in ns, size in bytes); (0, 0) if the file cannot be read."""
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0)  # applying it reports the reason
        return (found.st_mtime_ns, found.st_size)
