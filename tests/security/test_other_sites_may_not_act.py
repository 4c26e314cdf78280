"""A page of another site, in a browser that is let in by itself, can neither change anything here nor read it."""

from base64 import b64encode
from typing import Any

import pytest

COMMANDS = "/api/v1/rollouts/R-1/commands"
CHANGES: tuple[tuple[str, dict[str, Any]], ...] = (
    (COMMANDS, {"json": {"command": "rollback"}}),
    (COMMANDS, {"content": '{"command":"rollback"}', "headers": {"content-type": "text/plain"}}),
    ("/api/v1/files", {"content": "version: 1\nkind: policy\n", "headers": {"content-type": "text/plain"}}),
    ("/api/v1/files", {"files": {"file": ("policy.yaml", b"version: 1\nkind: policy\n")}}),
    ("/api/v1/observations", {"json": {"observations": []}}),
    ("/api/v1/evals", {"content": "case,category,pass\n", "headers": {"content-type": "text/csv"}}),
)
READ = ("/", "/r/R-1", "/metrics", "/api/v1/rollouts", "/api/v1/rollouts/R-1/events", "/api/v1/rollouts/R-1/evidence")
FOREIGN = ("https://evil.example", "http://localhost:3000", "http://127.0.0.1", "null", "http://127.0.0.1.evil.example")


def asked(client: Any, path: str, more: dict[str, Any], **headers: str) -> int:
    return int(client.post(path, **{**more, "headers": {**more.get("headers", {}), **headers}}).status_code)


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize(("path", "more"), CHANGES)
def test_without_tokens_no_other_origin_changes_anything(
    running: Any, serve: Any, canary: Any, path: str, more: dict[str, Any], origin: str
) -> None:
    client = serve(running)
    canary(running)
    before = running.service.load_world().position
    assert asked(client, path, more, Origin=origin) == 403
    assert running.service.load_world().position == before


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8300", "127.0.0.1.evil.example", "[::ffff:1.2.3.4]", "x@y"]
)
def test_without_tokens_a_name_that_was_bound_to_this_machine_reads_and_changes_nothing(
    running: Any, serve: Any, canary: Any, host: str
) -> None:
    client = serve(running)
    canary(running)
    for path in READ:
        assert client.get(path, headers={"Host": host}).status_code == 403, path
    for path, more in CHANGES:
        assert asked(client, path, more, Host=host, Origin=f"http://{host}") == 403, path


def test_a_password_that_the_browser_remembers_is_no_leave_for_other_sites(
    running: Any, serve: Any, canary: Any
) -> None:
    client = serve(running, tokens=[("operator", "op-token"), ("admin", "ad-token")])
    canary(running)
    remembered = "Basic " + b64encode(b"me:ad-token").decode()
    before = running.service.load_world().position
    for path, more in CHANGES:
        assert asked(client, path, more, Authorization=remembered, Origin="https://evil.example") == 403, path
    assert running.service.load_world().position == before
    assert client.get("/r/R-1", headers={"Authorization": remembered}).status_code == 200
    assert asked(client, *CHANGES[0], Authorization="Bearer op-token", Origin="https://tools.example") == 200


def test_our_own_origin_and_programs_without_one_may(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    own = str(client.base_url).rstrip("/")
    assert asked(client, COMMANDS, {"json": {"command": "pause"}}, Origin=own) == 200
    assert asked(client, COMMANDS, {"json": {"command": "resume"}}) == 200
