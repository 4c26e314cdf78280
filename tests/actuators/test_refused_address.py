"""An address that would never be called is refused when the file is applied, and not found out at the first step."""

import pytest

from bot.outbound.client import OutboundClient
from core.files.command_from_file import FileLookups
from core.files.syntax.problems import UnreadableFile
from core.rollout.context import Actor
from core.service import apply_file
from core.service.service import RolloutService
from core.store.database.connections import Database
from tests.journey.processes import run
from tests.slack.conftest import MONDAY, ROLLOUT, SURFACE

DRIVES = "drives: {{unleash: {{url: {!r}, environment: production, feature: tone, strategy: abc}}}}\n"
AMONG_US = "https://10.1.2.3"


def apply(service: RolloutService, url: str, door: OutboundClient) -> apply_file.AppliedFile:
    by = Actor(id="cli:root", handle="root")
    for name, text in (("surface.yaml", SURFACE), ("rollout.yaml", ROLLOUT + DRIVES.format(url))):
        applied = apply_file.apply_text(
            service,
            text,
            name,
            by=by,
            at=MONDAY,
            command_id=f"{name}-{url}",
            lookups=FileLookups(explain_undrivable=door.explain_refusal),
        )
    return applied


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (AMONG_US, "10.1.2.3 is 10.1.2.3, which is not a public internet address"),
        ("http://flags.example.com", "write https, or name it in ALLOW_PRIVATE_HOSTS"),
        ("https://inside.example.com", "inside.example.com is 192.168.0.7"),
    ],
)
def test_what_the_guard_would_not_call_is_refused_with_its_line(sqlite_database: Database, url: str, why: str) -> None:
    addresses = {"10.1.2.3": "10.1.2.3", "inside.example.com": "192.168.0.7", "flags.example.com": "93.184.215.14"}
    door = OutboundClient(resolve=lambda host, _: (addresses[host],))
    with pytest.raises(UnreadableFile) as refused:
        apply(RolloutService(sqlite_database), url, door)
    (problem,) = refused.value.problems
    assert problem.dotted_path == "drives.unleash.url"
    assert problem.source_line.startswith("drives:")
    assert why in problem.message


def test_what_is_allowed_or_cannot_be_told_now_is_applied(sqlite_database: Database) -> None:
    def nobody_knows(host: str, port: int) -> tuple[str, ...]:
        raise OSError("the name cannot be looked up")

    assert (
        apply(
            RolloutService(sqlite_database), AMONG_US, OutboundClient({"10.1.2.3"}, resolve=lambda host, _: (host,))
        ).id
        == "R-1"
    )
    again = apply(RolloutService(sqlite_database), "https://flags.example.com", OutboundClient(resolve=nobody_knows))
    assert again.changed


def test_the_command_line_refuses_it_too(sqlite_database: Database, sqlite_url: str, tmp_path) -> None:
    (tmp_path / "surface.yaml").write_text(SURFACE)
    (tmp_path / "rollout.yaml").write_text(ROLLOUT + DRIVES.format(AMONG_US))
    refused = run("apply", "surface.yaml", "rollout.yaml", folder=tmp_path, DATABASE_URL=sqlite_url)
    assert refused.returncode == 1
    assert "it would never be called: 10.1.2.3" in refused.stderr
