"""The page: safe against what people write, closed to other pages, and usable by hand in a real browser."""

import json
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from zoneinfo import ZoneInfo

import pytest
from slack_sdk import WebClient

from bot.sandbox.control import Sandbox
from bot.sandbox.page import mrkdwn
from bot.sandbox.server import ServerThread
from bot.sandbox.workspace.workspace import SandboxWorkspace

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("*bold* _it_ ~gone~ `code`", "<b>bold</b> <i>it</i> <s>gone</s> <code>code</code>"),
        ("2*3*4 and snake_case_name", "2*3*4 and snake_case_name"),
        ("```a *b*\n<c>```", "<pre>a *b*\n&lt;c&gt;</pre>"),
        ("one\ntwo", "one<br>two"),
        ("&gt; quoted\nnot", "<blockquote>quoted</blockquote>not"),
        ("hi <@U0ANA00001>", 'hi <span class="mention">@ana</span>'),
        ("<#C0SUPPORT1|support>", '<span class="mention">#support</span>'),
        ("<!subteam^S0AILEADS1>", '<span class="mention">@ai-leads</span>'),
        ("<!date^1795428000^{date_short} {time}|then>", '<span class="date">Nov 23, 2026 11:00</span>'),
        ("<!date^1795428000^since {date_pretty} {time}|then>", '<span class="date">Since yesterday 11:00</span>'),
        ("<!date^1795514400^{date_short_pretty}|then>", '<span class="date">Today</span>'),
        ("by <!date^1795600800^\u200b{date_long_pretty}|then>", 'by <span class="date">tomorrow</span>'),
        ("<!date^1795687200^{date_short_pretty}|then>", '<span class="date">Nov 26, 2026</span>'),
        ("<!date^1793613600^{date_long}|then>", '<span class="date">Monday, November 2nd, 2026</span>'),
        ("<!date^1795428000^{whatever}|then>", '<span class="date">then</span>'),
        (
            "<https://x.test/?a=1&amp;b=2|see>",
            '<a href="https://x.test/?a=1&amp;b=2" target="_blank" rel="noopener noreferrer">see</a>',
        ),
        ("a &lt;b&gt; &amp; c", "a &lt;b&gt; &amp; c"),
        (":rocket: :unknown:", "🚀 :unknown:"),
        (
            "a rise of 3 pp in 22 min: `5 %`",
            "a rise of 3\N{NO-BREAK SPACE}pp in 22\N{NO-BREAK SPACE}min: <code>5 %</code>",
        ),
        ("*<@U0ANA00001>*", '<b><span class="mention">@ana</span></b>'),
    ],
)
def test_mrkdwn_reads_as_in_slack(workspace: SandboxWorkspace, written: str, shown: str) -> None:
    assert mrkdwn.to_html(workspace, written, BERLIN) == shown


@pytest.mark.parametrize(
    "written",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<javascript:alert(1)|click>",
        "<data:text/html,x|click>",
        '<https://x.test/"onmouseover="alert(1)|see>',
        "`<script>`",
        "```<img src=x>```",
        "\ue0000\ue001<script>",
        "<!date^1^{time}|<script>>",
        '<@U1|"><script>>',
    ],
)
def test_nothing_that_is_written_becomes_markup(workspace: SandboxWorkspace, written: str) -> None:
    html = str(mrkdwn.to_html(workspace, written, BERLIN))
    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript' not in html
    assert 'href="data' not in html
    assert '"onmouseover' not in html


def fetch(url: str, body: object = None, **headers: str) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_the_page_says_what_it_is_and_loads_nothing_from_elsewhere(sandbox: Sandbox) -> None:
    with urlopen(sandbox.url) as answer:
        html, policy = answer.read().decode(), answer.headers["content-security-policy"]
    assert "sandbox, not Slack" in html
    assert "https://" not in html
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_other_hosts_and_origins_and_missing_tokens_are_refused(sandbox: Sandbox) -> None:
    say = {"as": "ana", "channel": "ai-rollouts", "text": "hi"}
    assert fetch(sandbox.url, Host="evil.test")[0] == 403
    assert fetch(f"{sandbox.api_url}auth.test", {}, Host="evil.test")[0] == 403
    assert fetch(f"{sandbox.url}/sandbox/look", Origin="https://evil.test")[0] == 403
    status, why = fetch(f"{sandbox.url}/sandbox/say", say)
    assert (status, why) == (403, "the page's token is missing or old; reload the page")
    assert sandbox.list_messages("#ai-rollouts") == []


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_it_binds_to_loopback_only(host: str) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        ServerThread(host, 0)


def test_what_only_one_person_sees_is_not_on_another_screen(sandbox: Sandbox) -> None:
    client = WebClient(token=sandbox.bot_token, base_url=sandbox.api_url)
    client.chat_postEphemeral(channel="#support", user="U0SAM00001", text="for sam alone")
    assert "for sam alone" in fetch(f"{sandbox.url}/sandbox/look?as=sam&channel=support")[1]
    assert "for sam alone" not in fetch(f"{sandbox.url}/sandbox/look?as=lee&channel=support")[1]
    assert "marketing" not in json.loads(fetch(f"{sandbox.url}/sandbox/look?as=gil")[1])["navigation"]
    assert fetch(f"{sandbox.url}/sandbox/look?as=nobody")[0] == 404


@pytest.mark.browser
def test_a_person_drives_an_app_by_hand(with_http_app: Sandbox, page_of: Callable[..., Any]) -> None:
    page = page_of(with_http_app, "?as=ana")
    troubles: list[str] = []
    page.on("console", lambda entry: troubles.append(entry.text) if entry.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.get_by_role("button", name="Dana AI engineer").click()
    page.locator("[data-person=dana][aria-current=true]").wait_for()
    page.get_by_label("Message or slash command").fill("/rollout card")
    page.keyboard.press("Enter")
    card = page.locator(".message", has_text="R-1 is planned")
    card.get_by_role("button", name="Roll back").wait_for()
    assert "acknowledged in" in page.locator("#status").inner_text()

    card.get_by_role("button", name="Roll back").click()
    page.get_by_role("button", name="Keep it").click()
    assert card.count() == 1

    page.get_by_role("button", name="Lee Lead").click()
    page.locator("[data-person=lee][aria-current=true]").wait_for()
    card.get_by_role("button", name="Reject…").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("no")
    page.get_by_role("dialog").get_by_role("button", name="Reject").click()
    page.get_by_text("Say it in five characters or more.").wait_for()
    page.get_by_role("dialog").get_by_role("textbox").fill("too early")
    page.get_by_role("dialog").get_by_role("button", name="Reject").click()
    page.locator(".message", has_text="lee rejected: too early").wait_for()

    card.get_by_role("button", name="Approve").click()
    edited = page.locator(".message", has_text="approved by lee")
    edited.get_by_text("(edited)").wait_for()
    page.locator(".ephemeral", has_text="Thank you.").wait_for()
    edited.get_by_role("button", name="1 reply").click()
    page.locator("aside .message", has_text="lee approved").wait_for()

    with_http_app.act_as("ana").say("<script>document.title='owned'</script>", channel="#ai-rollouts")
    page.locator(".message", has_text="<script>").wait_for()
    assert page.title() == "Rampart – sandbox, not Slack"

    page.get_by_role("button", name="Wire").click()
    page.locator(".wire", has_text="/rollout card").locator("summary").click()
    assert "acknowledged in" in page.locator(".wire[open]").inner_text()
    assert troubles == []
    assert with_http_app.violations == []


@pytest.mark.browser
def test_a_table_is_as_wide_as_there_is_room(sandbox: Sandbox, page_of: Callable[..., Any]) -> None:
    row = [{"type": "raw_text", "text": text} for text in ("What " * 9, "Verdict " * 9, "93.4 %")]
    WebClient(token=sandbox.bot_token, base_url=sandbox.api_url).chat_postMessage(
        channel="#support", text="numbers", blocks=[{"type": "table", "rows": [row, row]}]
    )
    page = page_of(sandbox, "?as=sam&channel=support")
    page.set_viewport_size({"width": 1500, "height": 800})
    hidden = page.locator(".message .table").evaluate("table => table.scrollWidth - table.clientWidth")
    assert hidden == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_no_line_ends_within_a_date(sandbox: Sandbox, page_of: Callable[..., Any]) -> None:
    dates = " ".join(f"{'i' * n} <!date^1780000000^{{date_short_pretty}} at {{time}}|Thu 28 May>" for n in range(40))
    WebClient(token=sandbox.bot_token, base_url=sandbox.api_url).chat_postMessage(channel="#support", text=dates)
    page = page_of(sandbox, "?as=sam&channel=support")
    page.locator(".message .date").nth(39).wait_for()
    for width in (1400, 400):
        page.set_viewport_size({"width": width, "height": 800})
        lines = "[...document.querySelectorAll('.date')].map(one => one.getClientRects().length)"
        assert set(page.evaluate(lines)) == {1}
