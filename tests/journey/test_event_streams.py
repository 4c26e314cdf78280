"""Event streams of a real process: a page of another site in a real browser, and a process that is asked to stop."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from bot.sandbox.control import Sandbox
from core.flags.bucketing import compute_bucket
from tests.journey import plans
from tests.journey.processes import Machine, Process

TOKENS = "admin:the-admin-token,flags:the-flags-token"
UNIT = next(u for u in (f"user-{n}" for n in range(9_999)) if compute_bucket("expose", "R-1", u) < 50_000)
PAGE = """<!doctype html><title>-</title><script>
const [base, unit] = %s;
const headers = {Authorization: "Bearer the-flags-token", "Content-Type": "application/json",
                 traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", baggage: "a=b"};
async function evaluate() {
  const body = JSON.stringify({context: {targetingKey: unit}});
  const answer = await (await fetch(base + "/ofrep/v1/evaluate/flags", {method: "POST", headers, body})).json();
  document.title = answer.flags[0].metadata.version;
  return answer.eventStreams[0].endpoint.requestUri;
}
evaluate().then((address) => {
  const stream = new EventSource(base + address);
  stream.onopen = () => { window.opened = (window.opened || 0) + 1; };
  stream.onmessage = (event) => { if (JSON.parse(event.data).type === "refetchEvaluation") evaluate(); };
});
</script>"""


@pytest.fixture
def running_canary(machine: Callable[..., Machine], sqlite_url: str) -> Process:
    """A process with tokens, in which R-1 runs its canary."""
    process = machine(sqlite_url, ROLLOUT_TOKENS=TOKENS).start("serve")
    for path, body in (
        ("/api/v1/files", plans.SURFACE_FILE),
        ("/api/v1/files", plans.LONG),
        ("/api/v1/rollouts/R-1/commands", '{"command": "start"}'),
    ):
        ask(process, path, body)
    return process


def ask(process: Process, path: str, body: str) -> None:
    headers = {"Authorization": "Bearer the-admin-token", "Content-Type": "application/json"}
    answer = httpx.post(f"{process.url}{path}", content=body, headers=headers, trust_env=False, timeout=30)
    assert answer.status_code == 200, answer.text


@pytest.fixture
def other_site() -> Iterator[Callable[[str], str]]:
    """Serves a page from an address of its own."""
    pages: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(pages[0].encode())

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def serve(page: str) -> str:
        pages.append(page)
        return f"http://localhost:{server.server_address[1]}/"

    yield serve
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.browser
def test_a_page_of_another_site_shows_the_old_version_after_a_rollback(
    running_canary: Process, other_site: Callable[[str], str], page_of: Callable[[Sandbox | str], Any]
) -> None:
    page = page_of(other_site(PAGE % json.dumps([running_canary.url, UNIT])))
    page.wait_for_function("document.title === 'v43' && window.opened === 1")
    ask(running_canary, "/api/v1/rollouts/R-1/commands", '{"command": "rollback", "reason": "wrong"}')
    page.wait_for_function("document.title === 'v42'")
    assert page.evaluate("window.opened") == 1
    assert "token=" not in running_canary.said()


def test_a_process_that_is_asked_to_stop_ends_its_streams(running_canary: Process) -> None:
    headers = {"Authorization": "Bearer the-flags-token"}
    url = f"{running_canary.url}/api/v1/changes"
    with httpx.stream("GET", url, headers=headers, trust_env=False, timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")
        running_canary.ask_to_stop()
        rest = [*lines]  # a connection that was cut would raise an error
    assert any("refetchEvaluation" in line for line in rest)
    assert running_canary.running.wait(60) == 0
