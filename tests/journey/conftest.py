"""A whole house for the end-to-end tests: program, Slack and users, over either transport, on either database."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.control import Sandbox
from tests.journey.house import House
from tests.journey.processes import Machine


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def open_house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Opens a house: `open_house(database_url, transport="http", pace=60)`. Ask for the database first, so that it
    is emptied last."""
    opened: list[House] = []

    def start(database_url: str, **settings: Any) -> House:
        opened.append(House.open(database_url, tmp_path, **settings))
        return opened[-1]

    yield start
    for house in opened:
        house.close()


@pytest.fixture
def page_of() -> Iterator[Callable[[Sandbox | str], Any]]:
    """Opens a sandbox's page, or that of an address, in a real Chromium of 1280 by 900."""
    names = (os.environ.get("CHROMIUM_PATH") or "chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        missing = "no Chromium here (apt-get install chromium, or set CHROMIUM_PATH)"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--disable-dev-shm-usage"])

        def opened(sandbox: Sandbox | str) -> Any:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(20_000)
            page.goto(sandbox if isinstance(sandbox, str) else sandbox.url)
            return page

        yield opened
        browser.close()


@pytest.fixture
def slack() -> Iterator[Sandbox]:
    """A sandbox Slack that outlives the processes that talk to it."""
    with Sandbox.start(rate_limits="off") as sandbox:
        yield sandbox


@pytest.fixture
def machine(tmp_path: Path, slack: Sandbox) -> Iterator[Callable[..., Machine]]:
    """A machine on which processes are started: `machine(database_url, ROLLOUT_TICK="1s")`."""
    machines: list[Machine] = []

    def build(database_url: str, **settings: str) -> Machine:
        connected = {
            "DATABASE_URL": database_url,
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_SIGNING_SECRET": slack.signing_secret,
            "SLACK_API_URL": slack.api_url,
        }
        machines.append(Machine(folder=tmp_path, settings={**connected, **settings}))
        return machines[-1]

    yield build
    for one in machines:
        one.stop()
