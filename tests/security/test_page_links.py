"""Links from Slack to pages: for one person, one page and one hour, and only as far as that person's rights go now."""

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from bot.log_output.redaction import SecretRedactor
from bot.signed_page_links import LinkedPerson, PageLinks
from bot.slack.listeners import build_app
from core.rollout import commands as c
from tests.http.conftest import Running
from tests.http.test_pages import look
from tests.slack.conftest import Office, _over_http

POLICY = """\
version: 1
kind: policy
roles:
  operator: {groups: ["@ai-eng"]}
  approver: {groups: ["@ai-leads"]}
"""
PUBLIC = "https://rampart.example.com"


@dataclass(slots=True)
class Visit:
    """An office whose answers link to pages, and a browser that has no token. `real` is real time."""

    office: Office
    browser: httpx.Client
    real: list[datetime] = field(default_factory=list)

    def address(self, handle: str, line: str) -> str:
        """The path and query under which the answer to a typed line opens its page; empty if it offers none."""
        seen = len(self.office.sandbox.list_ephemerals(handle))
        assert self.office.typed(handle, line).acked
        answer = self.office.sandbox.wait_for(lambda: self.office.sandbox.list_ephemerals(handle)[seen:])[0]
        found = [
            element["url"]
            for block in answer.blocks
            for element in block.get("elements", ())
            if isinstance(element, dict) and element.get("url")
        ]
        return found[0].removeprefix(PUBLIC) if found else ""

    def open(self, address: str) -> httpx.Response:
        return self.browser.get(address, headers={"accept": "text/html"})


def text_of(page: httpx.Response) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page.text))


@pytest.fixture
def visit(office: Office, serve: Callable[..., httpx.Client]) -> Iterator[Visit]:
    real = [datetime(2026, 11, 23, 9, 0, tzinfo=UTC)]
    links = PageLinks("xoxb-secret-of-the-bot", f"{PUBLIC}/", lambda: real[0])
    directory = office.directory
    bolt = build_app(
        office.service,
        office.client,
        office.sandbox.signing_secret,
        now=lambda: office.at,
        directory=directory,
        page_links=links,
    )
    stop = _over_http(bolt, office.sandbox)

    def find_person(person: LinkedPerson) -> Any:
        return directory.resolve_actor(person.team, person.user, moves_forward=True, fresh=True)

    browser = serve(
        Running(service=office.service, clock=[office.at]),
        tokens=[("operator", "a-long-token-of-nobody")],
        page_links=links,
        find_person=find_person,
    )
    office.apply_as_admin(POLICY)
    office.files["rollout"] = office.files["rollout"].replace(
        "prompts/system.md@sha256:9f2c51e0", "Name the fix first."
    )
    office.apply(office.files["surface"])
    office.apply(office.files["rollout"])
    office.deliver()
    office.typed("lee", "approve R-1")
    office.later(minutes=10).typed("ana", "start R-1")
    office.later(minutes=31).say(c.Tick(look=look()))  # too little data: a hold, with its evidence
    yield Visit(office=office, browser=browser, real=real)
    stop()
    bolt.listener_runner.listener_executor.shutdown()


def test_an_answer_links_to_its_page_for_whoever_asked_and_needs_no_token(visit: Visit) -> None:
    page = visit.open(visit.address("mia", "evidence 1 R-1"))
    assert page.status_code == 200
    assert "Evidence 1 of R-1" in text_of(page)
    assert "Opened from Slack by @mia: this page alone, until Mon 23 Nov 2026 10:00:00 UTC." in text_of(page)
    assert 'href="/r/' not in page.text, "what the link does not open is not linked"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"


def test_the_difference_opens_with_the_words_of_prompts_for_those_who_may_read_them(visit: Visit) -> None:
    page = visit.open(visit.address("ana", "diff R-1"))
    assert page.status_code == 200
    assert "Difference from v42" in text_of(page)
    assert "Name the fix first." in text_of(page)
    assert visit.address("mia", "diff R-1") == "", "who may not read prompts is offered no page of them"
    assert visit.address("mia", "evidence 1 R-1")


def test_the_window_with_the_difference_links_to_the_page_too(visit: Visit) -> None:
    visit.office.typed("ana", "diff R-1")
    assert visit.office.person("ana").click(visit.office.whispered("ana"), "View difference").acked
    view = visit.office.sandbox.wait_for(lambda: visit.office.sandbox.top_modal("ana"))
    (address,) = [e["url"] for block in view.body["blocks"] for e in block.get("elements", ()) if e.get("url")]
    assert visit.open(address.removeprefix(PUBLIC)).status_code == 200


def test_what_everybody_reads_holds_no_link(visit: Visit) -> None:
    visit.office.typed("ana", "evidence 1 R-1 --public")
    shown = visit.office.sandbox.list_messages("#ai-rollouts")[-1]
    assert PUBLIC not in str(shown.blocks)


def test_pressing_the_link_in_slack_is_taken_in_silence(visit: Visit) -> None:
    visit.office.typed("ana", "evidence 1 R-1")
    seen = len(visit.office.sandbox.list_ephemerals("ana"))
    assert visit.office.person("ana").click(visit.office.whispered("ana"), "Open as a page").acked
    assert len(visit.office.sandbox.list_ephemerals("ana")) == seen


def test_a_link_opens_no_other_page_and_for_nobody_else_and_no_longer(visit: Visit) -> None:
    address = visit.address("mia", "evidence 1 R-1")
    parts = urlsplit(address)
    token = parse_qs(parts.query)["token"][0]
    expires, team, enterprise, user, signature = token.split(".")
    later = f"{int(expires) + 3600}.{team}.{enterprise}.{user}.{signature}"
    somebody_else = f"{expires}.{team}.{enterprise}.U0ANA00001.{signature}"
    for forged in (
        f"/e/R-1.2?token={token}",
        f"/e/R-2.1?token={token}",
        f"/v/support-assistant/v43?token={token}",
        f"{address}&from=v42",
        f"{parts.path}?token={later}",
        f"{parts.path}?token={somebody_else}",
        f"{parts.path}?token={token[:-1]}",
        f"{parts.path}?token={token}x",
        f"{parts.path}?token=",
        f"{parts.path}?token=é.1.2.3.4",
    ):
        page = visit.open(forged)
        assert page.status_code == 403, forged
        assert "This link does not open this page." in text_of(page)
        assert "Ask in Slack for a new one: /rollout" in text_of(page)
        assert 'href="/digest"' not in page.text, "where a token is needed, nothing leads"
    for closed in ("/", "/r/R-1", "/digest", "/r/R-1/history.json", "/api/v1/rollouts"):
        assert visit.browser.get(closed, params={"token": token}).status_code == 401, closed


def test_after_an_hour_it_says_how_to_get_a_new_one(visit: Visit) -> None:
    address = visit.address("ana", "diff R-1")
    visit.real[0] += timedelta(minutes=59)
    assert visit.open(address).status_code == 200
    visit.real[0] += timedelta(minutes=1)
    page = visit.open(address)
    assert page.status_code == 403
    assert "This link has expired: it was valid for an hour, until Mon 23 Nov 2026 10:00 UTC." in text_of(page)
    assert "Ask in Slack for a new one: /rollout diff v42 v43 support-assistant." in text_of(page)
    assert visit.open(visit.address("ana", "diff R-1")).status_code == 200


def test_who_may_no_longer_read_prompts_does_not_with_an_old_link(visit: Visit) -> None:
    address = visit.address("ana", "diff R-1")
    groups = visit.office.sandbox.workspace.groups
    for name, group in groups.items():
        groups[name] = replace(group, members=tuple(user for user in group.members if user != "U0ANA00001"))
    page = visit.open(address)
    assert page.status_code == 403
    assert "Only operators and approvers can read prompts: @ai-eng, @ai-leads." in text_of(page)


def test_who_left_opens_nothing(visit: Visit) -> None:
    address = visit.address("mia", "evidence 1 R-1")
    people = visit.office.sandbox.workspace.people
    people["U0MIA00001"] = replace(people["U0MIA00001"], deleted=True)
    page = visit.open(address)
    assert page.status_code == 403
    assert "This page is for full members of the workspace" in text_of(page)


def test_while_slack_cannot_say_who_somebody_is_the_page_stays_closed(visit: Visit) -> None:
    address = visit.address("mia", "evidence 1 R-1")
    visit.office.sandbox.fail_next("users.info", "500", times=10)
    page = visit.open(address)
    assert page.status_code != 200
    assert "Slack cannot confirm who you are right now, so the page stays closed." in text_of(page)


def test_no_link_is_written_down(visit: Visit, capfd: pytest.CaptureFixture[str]) -> None:
    address = visit.address("ana", "diff R-1")
    signature = address.rpartition(".")[2]
    visit.open(address)
    visit.open(address.replace("v43", "v44"))
    said = capfd.readouterr()
    assert signature not in said.out + said.err
    assert signature not in SecretRedactor(())(f"GET {address} failed")
    with visit.office.service.database.reading() as connection:
        stored = "".join(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    assert "R-1" in stored
    assert signature not in stored


def test_without_a_public_address_or_a_secret_there_are_none() -> None:
    person = LinkedPerson(team="T1", user="U1")
    for links in (
        PageLinks("", PUBLIC, lambda: datetime.now(UTC)),
        PageLinks("a-secret", "", lambda: datetime.now(UTC)),
    ):
        assert links.build("/e/R-1.1", person) == ""
    assert PageLinks("", PUBLIC, lambda: datetime.now(UTC)).read("/e/R-1.1", [], "9999999999.T1..U1.") is None


def test_a_link_of_another_installation_opens_nothing() -> None:
    person = LinkedPerson(team="T1", user="U1")

    def now() -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC)

    address = urlsplit(PageLinks("one secret", PUBLIC, now).build("/v/a/v2?from=v1", person))
    query = [(name, values[0]) for name, values in parse_qs(address.query).items()]
    token = dict(query)["token"]
    assert PageLinks("one secret", PUBLIC, now).read(address.path, query, token) is not None
    assert PageLinks("another", PUBLIC, now).read(address.path, query, token) is None
