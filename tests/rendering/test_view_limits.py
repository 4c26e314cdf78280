"""Whatever anybody writes: home tabs, forms and previews stay within what Slack takes, and mention nobody."""

import json
from dataclasses import replace
from datetime import time, timedelta
from typing import Any

import pytest

from bot.rendering.answers import home_tab
from bot.rendering.answers.home_tab import HomeTab
from bot.rendering.answers.planning import dry_run, plan_outlook
from bot.rendering.messages.alerts import glass_broken
from bot.rendering.messages.notices import subscription_messages
from bot.sandbox.rules import check_payload
from bot.slack.forms import create_form, notification_form, plan_preview
from core.files.foresight.known_traffic import assume_traffic
from core.files.foresight.outlook import build_outlook
from core.rollout.notifications.announcement import Announcement
from core.rollout.notifications.announcement_kinds import AnnouncementKind
from core.rollout.plans.plan import NoticePlan
from core.rollout.plans.policy import DEFAULT_POLICY
from core.rollout.state import events as e
from core.rollout.state.surface import Surface
from core.rollout.workspace.subscriptions import AUDIENCES, Subscriber, Topic
from tests.rendering.test_limits import _OURS, _check, _mrkdwn, _plan

TEXTS = (
    "",
    "<!channel> <@U0ANA00001> <https://evil.example|ok>",
    "word " * 5000,
    "<" * 20_000,
    "\u202e\u200b",
    "\n" * 500,
    "🙂" * 4000,
)


@pytest.mark.parametrize("text", TEXTS, ids=lambda t: json.dumps(t[:12]))
def test_no_text_breaks_a_view(words: Any, text: str) -> None:
    story = words.story(plan=_plan(words, text))
    planned = story.planned().now
    # Names of AI features and versions are letters, digits and dashes, at most a hundred: files allow no others.
    content = {"prompt": text, "tools": [text], "model": {"name": text}}
    surface = Surface(name="x" * 100, title=text, owner=text, live="v" * 100, versions={"v" * 100: content})
    asked = replace(planned, request=words.story().request(gate=text, needed=2))
    topics = tuple(Topic(text, audience) for audience in AUDIENCES) * 10
    person = Subscriber(user="U1", topics=topics, role="support", quiet_from=time(20), quiet_until=time(8), zone=text)
    tab = HomeTab(
        person=person,
        is_full_member=True,
        may_plan=True,
        to_approve=(asked,) * 20,
        to_decide=(planned,) * 20,
        to_confirm=((planned, NoticePlan(channel=f"#{text}", audience="support")),) * 20,
        to_review=(replace(planned, review_due=words.tuesday),) * 20,
        running=(planned,) * 20,
        changing=(planned,) * 20,
        surfaces=(surface,) * 60,
        frozen={surface.name: (text, words.tuesday)},
        zone=words.zone,
    )
    shown = home_tab.render(tab)
    assert check_payload.check_view({"type": "home", "blocks": shown}, ("home",)) == []
    assert shown[-1]["type"] == "actions", "what starts a rollout is not cut off"
    for line in _mrkdwn(shown):
        assert "<" not in _OURS.sub("", line), line

    form = create_form.build_form({surface.name: surface}, DEFAULT_POLICY, "U1")
    assert check_payload.check_view(form) == []
    own = notification_form.build_form(person, [surface] * 60, "Europe/Berlin")
    assert check_payload.check_view(own) == []

    known = assume_traffic(replace(surface, daily_requests=10**6))
    outlook = build_outlook(planned.plan, surface, DEFAULT_POLICY, known, words.monday, warnings=[text] * 30)
    _check(plan_outlook.render(outlook, words.zone))
    preview = plan_preview.render_preview(outlook, "rollout: x", words.zone)
    assert check_payload.check_view(plan_preview.build_view(preview, "plan.1")) == []

    broken = e.GlassBroken(
        by=text, reason=text, action="start", passed_over=(text,) * 20, review_due=words.monday + timedelta(hours=48)
    )
    _check(glass_broken.render(planned, broken, words.zone, lambda group: ""))
    _check(subscription_messages.render_subscribed(surface, "support", [planned] * 20, words.zone, is_new=True))
    _check(subscription_messages.render_unsubscribed(topics, topics))
    told = [Announcement(kind=kind, rollout="R-1", channel=f"#{text}", key="k") for kind in AnnouncementKind] * 5
    _check(dry_run.render("`/rollout pause`", [(broken, planned)] * 40, told, words.zone))
