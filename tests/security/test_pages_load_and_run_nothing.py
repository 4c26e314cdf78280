"""The pages run no script and load nothing from elsewhere, whatever was written into what they show."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from core.rollout import commands as c

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "{{ 7*7 }}{% include 'x' %}",
    "</title><svg/onload=alert(1)>",
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class Markup(HTMLParser):
    """Every element with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def paths(client: Any) -> tuple[str, ...]:
    return ("/", "/r/R-1", "/docs")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_whatever_people_write_stays_text(
    running: Any, serve: Any, rollout_file: str, surface_file: str, payload: str
) -> None:
    quoted = payload.replace("\\", "").replace('"', '\\"')
    running.apply(surface_file.replace('"Support assistant"', f'"{quoted}"'))
    running.apply(rollout_file.replace('"<script>alert(1)</script> & shorter"', f'"{quoted}"'))
    running.do(c.Start())
    running.do(c.Pause(reason=payload))
    client = serve(running)
    for path in paths(client):
        page = client.get(path)
        assert page.status_code == 200
        for tag, attributes in Markup(page.text).found:
            assert tag not in {"script", "iframe", "object", "embed", "form", "base", "img"}, (path, tag)
            assert not [name for name in attributes if name.startswith("on") or name == "style"], (path, tag)
            for address in (attributes.get("href", ""), attributes.get("src", "")):
                assert not address or re.match(r"/(?!/)|#", address), (path, address)
        assert "49" not in re.findall(r"\b49\b", page.text), "nothing is evaluated"


def test_a_browser_is_told_to_run_and_frame_nothing(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    for path in paths(client):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        for directive in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"):
            assert directive in policy, path
        assert "unsafe" not in policy
        assert "script-src" not in policy, "none, by default-src"
        assert HEADERS.items() <= dict(headers).items(), path


def test_the_reference_shows_every_route(running: Any, serve: Any) -> None:
    client = serve(running)
    page = client.get("/docs").text
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method in methods.keys() & {"get", "post"}:
            assert f"<code>{method.upper()} {path}</code>" in page
    assert client.get("/redoc").status_code == 404


def test_no_text_of_the_api_is_taken_for_a_page(running: Any, serve: Any) -> None:
    answer = serve(running).get("/api/v1/rollouts/<script>alert(1)</script>")
    assert answer.headers["content-type"] == "application/json"
