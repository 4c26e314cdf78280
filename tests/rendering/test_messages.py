"""What people see, word for word: approved by eye, and a visible change when it changes."""
# ruff: noqa: E501 - a line of a message is as long as it is

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from inline_snapshot import snapshot

from bot.rendering import wording
from bot.rendering.answers import status
from bot.rendering.charts import plain_text
from bot.rendering.messages import approval, card, event_lines, plan_facts
from bot.rendering.messages.alerts import rollback_alert
from bot.rendering.messages.notices import follow_up, notice
from bot.rendering.sentences import headline
from core.files.foresight.known_traffic import assume_traffic
from core.files.foresight.outlook import build_outlook
from core.rollout.permissions.approvers import find_approver_rule
from core.rollout.plans.plan import DrivenFlag, Holdout
from core.rollout.plans.policy import DEFAULT_POLICY
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.rollout.state.surface import Surface
from tests.rendering.conftest import FIRST_LINE_LIMIT


def _notice(words: Any, story: Any, audience: str) -> str:
    planned = next(n for n in story.now.plan.stakeholder_notices if n.audience == audience)
    told = notice.render(story.now, planned, "Support assistant", words.monday, story.at, words.zone, is_closed=False)
    return plain_text.render_text(told)


@pytest.mark.shows("E1")
def test_the_card_of_a_plan(words: Any, story: Any) -> None:
    assert plain_text.render_text(card.render(story.planned().now, words.zone)) == snapshot("""\
Planned: R-118 support-tone, v42 -> v43. Needs 1 more approval from @ai-leads, then starts Tue 24 Nov 11:00 CET.
○○○○○○  checks · internal · small test 5 % · 25 % · everyone · watching
Why: Shorter answers; users say replies bury the fix.
[ Details ]
prompt · v42 -> v43 · support-assistant · risk standard · owner @dana · plan 7f3a19\
""")


def test_the_card_of_a_small_test(words: Any, story: Any) -> None:
    running = story.running().happen(story.evidence())
    assert plain_text.render_text(card.render(running.now, words.zone)) == snapshot("""\
Small test (5 %): R-118 support-tone. Next: 25 % Tue 24 Nov 18:00 CET at the earliest.
●●◐○○○  checks ✓ · internal ✓ · small test 5 % (now) · 25 % · everyone · watching
Not fully judged: errors not known yet · 8,312 requests on the new version, 158,040 on the old one · evidence #412, Tue 24 Nov 12:00 CET
[ Pause ] [ Roll back ] [ Feels off ] [ Details ]
prompt · v42 -> v43 · support-assistant · risk standard · owner @dana · plan 7f3a19\
""")


def test_the_card_of_a_rollback(words: Any, story: Any) -> None:
    back = story.running().rolled_back().happen(e.FlipConfirmed(seconds=0.41, processes=2))
    assert plain_text.render_text(card.render(back.now, words.zone)) == snapshot("""\
Rolled back: R-118 support-tone. Everyone got v42 again Tue 24 Nov 12:00 CET; it took 0.41 s.
●●○○○○  checks ✓ · internal ✓ · small test 5 % (rolled back here) · 25 % · everyone · watching
Why: Declined to answer: 6.4 % new vs 1.9 % old, +4.5 pp (+2.4 … +6.5)
prompt · v42 -> v43 · support-assistant · risk standard · owner @dana · plan 7f3a19\
""")


@pytest.mark.shows("E43", "E75", "E79")
def test_the_notice_to_support(words: Any, story: Any) -> None:
    assert _notice(words, story.planned(), "support") == snapshot("""\
A change to the support assistant is planned. It starts Tue 24 Nov 13:00 CET at the earliest, for 5 in 100 customers first.
What customers may notice
 • Answers are about a third shorter and start with the fix.
     before: “Thanks for reaching out! There are several reasons why a sync...”
     after:  “Turn off 'Pause on battery' in Settings > Sync. Then press Sync now.”
 • The assistant no longer apologises before every step.
Not changing: Refunds still go to a person.
When, at the earliest (each step only if all goes well)
 • Tue 24 Nov 13:00 CET: 5 in 100 customers
 • Tue 24 Nov 19:00 CET: 25 in 100 customers
 • Wed 25 Nov 07:00 CET: everyone
Who is affected now: nobody yet.
If a customer complains: once it has started, choose Report AI answer in a message's menu, or type /rollout complaint "what happened" --user <customer id> --id R-118. Or ask in this thread.
If answers look wrong to you: /rollout feels-off R-118 "what you saw". Once two people have said so, no more customers get it until @dana decides.
Which version did a customer see? Type /rollout whois <customer id>
If it goes wrong we switch back within seconds and tell you here.
[ Got it ] [ I have a concern ] [ Remind me when watching is over ]
Please press Got it when you have read this · R-118 · Owner: @dana · Questions? Ask in the thread\
""")


@pytest.mark.shows("E76")
def test_the_notice_to_marketing(words: Any, story: Any) -> None:
    assert _notice(words, story.planned(), "marketing") == snapshot("""\
A change to the support assistant is planned. It starts Tue 24 Nov 13:00 CET at the earliest, for 5 in 100 customers first.
What people may notice
 • Answers are about a third shorter and start with the fix.
Do not announce it yet. After we post “Watching is over”, you may say: “Answers are about a third shorter and start with the fix.” This is how the plan describes it; Rampart has not measured it.
Please do not say: faster, more accurate, smarter. We have no proof of that.
When, at the earliest (each step only if all goes well)
 • Tue 24 Nov 13:00 CET: 5 in 100 customers
 • Tue 24 Nov 19:00 CET: 25 in 100 customers
 • Wed 25 Nov 07:00 CET: everyone
 • Fri 27 Nov 19:00 CET: watching is over; you may announce it
Who is affected now: nobody yet.
We will post here when watching is over, or if we switch back (that takes seconds).
[ Got it ] [ I have a concern ] [ Remind me when watching is over ]
“Got it” is optional · R-118 · Owner: @dana · Questions? Ask in the thread\
""")


@pytest.mark.shows("E77")
def test_the_notice_to_a_downstream_team(words: Any, story: Any) -> None:
    story.after = {
        **words.before,
        "prompt": "SECRET WORDS OF THE PROMPT",
        "model": {"provider": "acme-ai", "name": "large-4"},
        "tools": ["lookup_order", "refund"],
    }
    told = _notice(words, story.planned(), "downstream")
    assert told == snapshot("""\
A change to the support assistant is planned. It starts Tue 24 Nov 13:00 CET at the earliest, for 5 in 100 customers first.
What your code may see
 • model: name large-3 -> large-4
 • prompt: changed
 • tools: refund added, search_help removed
 • Answer length: expected 20 to 40 % lower
When, at the earliest (each step only if all goes well)
 • Tue 24 Nov 13:00 CET: 5 in 100 customers
 • Tue 24 Nov 19:00 CET: 25 in 100 customers
 • Wed 25 Nov 07:00 CET: everyone
Who is affected now: nobody yet.
If it goes wrong we switch back within seconds and tell you here.
[ Got it ] [ I have a concern ] [ Remind me when watching is over ]
“Got it” is optional · R-118 · Owner: @dana · Questions? Ask in the thread\
""")
    assert "SECRET" not in told


def test_a_notice_says_who_has_read_it(words: Any, story: Any) -> None:
    read = e.NoticeAcknowledged(notice="support:#support", by="slack:T1/U4SAM", handle="@sam")
    assert "@sam pressed Got it · R-118 · Owner: @dana" in _notice(words, story.planned().happen(read), "support")


@pytest.mark.parametrize("audience", ["support", "marketing"])
def test_people_are_told_in_plain_words(words: Any, story: Any, audience: str) -> None:
    story.planned()
    said = _notice(words, story, audience)
    story.running().happen(story.evidence()).rolled_back()
    back = story.now.rollback
    assert back is not None
    said += plain_text.render_text(
        follow_up.render(story.now, back, audience, "Support assistant", story.at, words.zone)
    )
    for jargon in ("canary", " pp", "p-value", "guardrail", "refusal_rate", "control", "cohort", "rollout runs"):
        assert jargon not in said.lower()


def test_the_request_for_approval(words: Any, story: Any) -> None:
    story.planned()
    request = story.now.request
    told = approval.render(story.now, request, (), words.monday, words.zone, lambda g: f"<!subteam^S1|{g}>")
    assert plain_text.render_text(told) == snapshot("""\
Approval needed (0 of 1): start R-118 support-tone (prompt change, v42 -> v43).
Asked by @dana, Mon 23 Nov 16:00 CET · expires Tue 24 Nov 16:00 CET (then a new request goes out) · risk standard · plan 7f3a19
Why  Shorter answers; users say replies bury the fix.
What changes  prompt: 1 of 2 words removed, 1 added. Nothing else changes. v43 stands for exactly this content, in `/rollout versions` as 3867c019140f.
What people will notice
 • Answers are about a third shorter and start with the fix. (for support and marketing)
 • The assistant no longer apologises before every step. (for support)
 • Not changing: Refunds still go to a person.
Limits
 • Declined to answer, a rise of 1 pp: rolls back
If it goes wrong  If the agreed limit is broken, Rampart rolls back or stops growth by itself, as listed. Any full member can also switch back to v42 in seconds.
Who was told
 • #support (support, 24 h before the start): posted Mon 23 Nov 16:00 CET, it has to be confirmed, and nobody has yet
 • #marketing (marketing, 24 h before the start): posted Mon 23 Nov 16:00 CET, it need not be confirmed
 • #integrations-team (downstream, 24 h before the start): posted Mon 23 Nov 16:00 CET, it need not be confirmed
[ Approve ] [ Reject… ] [ View difference ]
Waiting for: one of <!subteam^S1|@ai-leads>. @dana cannot approve their own change.\
""")


def test_the_request_says_which_limit_the_first_stage_may_end_too_early_for(words: Any, story: Any) -> None:
    planned = story.planned().now
    stages = [
        replace(one, min_hold=timedelta(minutes=30), min_samples=100) if one.is_compared else one
        for one in planned.plan.stages
    ]
    plan = replace(planned.plan, stages=tuple(stages))
    surface = Surface(
        name="support-assistant", title="", owner="", live="v42", versions={"v42": {}}, daily_requests=200_000
    )
    known = assume_traffic(surface)
    outlook = build_outlook(plan, surface, DEFAULT_POLICY, known, words.monday, begin=planned.start)
    (limit,) = outlook.foreseen[0]
    assert limit.expected < limit.noticed < limit.within
    told = approval.render(
        replace(planned, plan=plan),
        planned.request,
        (),
        words.monday,
        words.zone,
        lambda group: group,
        plan_facts.DecisionFacts(outlook=outlook),
    )
    said = plain_text.render_text(told)
    assert (
        "noticed after about 5.7 h in the small test (5 %), which may be left after 3.2 h: by then, a rise of 1.4 pp"
        in said
    )
    assert "In favour  the small test (5 %) is not left before every rollback limit would notice twice its size" in said
    assert (
        "Against  the small test (5 %) may end before a change as large as the limit is noticed: declined to answer"
        in said
    )


def test_the_request_shows_what_an_approver_has_to_know(words: Any, story: Any) -> None:
    story.after = {**story.after, "prompt": "Start with the fix.", "model": {"provider": "acme-ai", "name": "large-4"}}
    planned = story.planned().now
    surface = Surface(
        name="support-assistant", title="", owner="", live="v42", versions={"v42": {}}, daily_requests=200_000
    )
    known = assume_traffic(surface)
    outlook = build_outlook(planned.plan, surface, DEFAULT_POLICY, known, words.monday, begin=planned.start)
    worry = e.ConcernRaised(
        notice="support:#support", by="slack:T1/U4SAM", handle="@sam", text="Too short for refunds?"
    )
    facts = plan_facts.DecisionFacts(
        outlook=outlook,
        rule=find_approver_rule(planned, DEFAULT_POLICY, ()),
        concerns=(worry,),
        members=lambda _: {"U2DANA": "@dana", "U5LEE": "@lee", "U6ANA": "@ana"},
    )
    told = approval.render(planned, planned.request, (), words.monday, words.zone, lambda group: group, facts)
    assert plain_text.render_text(told) == snapshot("""\
Approval needed (0 of 1): start R-118 support-tone (model + prompt change, v42 -> v43).
Asked by @dana, Mon 23 Nov 16:00 CET · expires Tue 24 Nov 16:00 CET (then a new request goes out) · risk standard · plan 7f3a19
Why  Shorter answers; users say replies bury the fix.
What changes  prompt: 2 of 2 words removed, 4 added · model.name large-3 -> large-4. Nothing else changes. v43 stands for exactly this content, in `/rollout versions` as da61fc76d018.
What people will notice
 • Answers are about a third shorter and start with the fix. (for support and marketing)
 • The assistant no longer apologises before every step. (for support)
 • Not changing: Refunds still go to a person.
Limits
 • Declined to answer, a rise of 1 pp: rolls back; noticed after about 5.7 h in the small test (5 %)
 • _At 200,000 requests a day; estimates from usual levels, nothing measured yet._
When, if no limit breaks  internal Tue 24 Nov 11:00 CET · small test 5 % Tue 24 Nov 13:00 CET · 25 % Tue 24 Nov 19:00 CET · everyone Wed 25 Nov 07:00 CET · done Fri 27 Nov 19:00 CET
In favour  every rollback limit would notice a change as large as the limit within the small test (5 %)
Against  @sam has a concern: “Too short for refunds?”
If it goes wrong  If the agreed limit is broken, Rampart rolls back or stops growth by itself, as listed. Any full member can also switch back to v42 in seconds.
Who was told
 • #support (support, 24 h before the start): posted Mon 23 Nov 16:00 CET, it has to be confirmed, and nobody has yet
 • #marketing (marketing, 24 h before the start): posted Mon 23 Nov 16:00 CET, it need not be confirmed
 • #integrations-team (downstream, 24 h before the start): posted Mon 23 Nov 16:00 CET, it need not be confirmed
Who can approve  @ai-leads: @lee, @ana
[ Approve ] [ Reject… ] [ View difference ]
Waiting for: one of @ai-leads. @dana cannot approve their own change.\
""")


def test_an_approval_that_was_given(words: Any, story: Any) -> None:
    story.planned()
    request = story.now.request
    story.approved()
    closed = approval.render_closed(story.now, request, story.now.approvals, "approved")
    assert plain_text.render_text(closed) == snapshot("""\
Approved by @lee: start R-118 support-tone (prompt change, v42 -> v43).
@lee: “ok”\
""")
    assert not any(b["type"] == "actions" for b in closed.blocks)


def test_the_alert_before_and_after_the_switch_is_confirmed(words: Any, story: Any) -> None:
    back = story.running().later(seconds=5882).rolled_back().now
    before = rollback_alert.render(back, back.rollback, story.at, None, words.zone)
    assert before.text == (
        "Rolled back: R-118 support-tone. Everyone is being switched back to v42; confirmation follows in a moment. "
        "Nothing for you to do."
    )
    assert "switch being confirmed" in plain_text.render_text(before)
    assert "telling: #support, #marketing, #integrations-team" in plain_text.render_text(before)
    after = rollback_alert.render(back, back.rollback, story.at, e.FlipConfirmed(seconds=4.1, processes=3), words.zone)
    assert plain_text.render_text(after) == snapshot("""\
Rolled back: R-118 support-tone. Everyone got the old version again; it took 4.1 s. Nothing for you to do.
Limit broken  Declined to answer: 6.4 % new vs 1.9 % old, +4.5 pp (+2.4 … +6.5). Agreed limit: a rise of 1 pp (locked Tue 24 Nov 12:00 CET)
When  the small test (5 %) began 12:00:00 CET, decided 13:38:02 CET
How fast  verdict after 98 min of this stage · switched after 4.1 s, confirmed on 3 processes
Switched back  support-assistant: v43 -> v42 (prompt only). Not touched: model, tools
Who was affected  565 requests, about 430 people; the stage was at 5 %
[ Get the evidence ] [ New rollout from this one ]
Ask <@U2DANA> (owner) · told: #support, #marketing, #integrations-team · limits that were set before the start decided this: to try again, correct v43 and start a new rollout\
""")


def test_an_alert_does_not_say_that_nothing_is_to_be_done_while_a_review_is_due(words: Any, story: Any) -> None:
    back = story.running().rolled_back().happen(e.ReviewRequested(due_at=story.at + timedelta(days=2))).now
    flip = e.FlipConfirmed(seconds=4.1, processes=3)
    told = rollback_alert.render(back, back.rollback, story.at, flip, words.zone).text
    assert told.endswith("it took 4.1 s. Next: write its review, by Thu 26 Nov 12:00 CET.")


def test_the_alert_of_a_rollback_by_a_person_names_them_and_their_reason(words: Any, story: Any) -> None:
    back = story.running().rolled_back(by="slack:T1/U4SAM", findings=(), reason="odd greetings").now
    told = plain_text.render_text(rollback_alert.render(back, back.rollback, story.at, None, words.zone))
    assert "Who  <@U4SAM> rolled it back: “odd greetings”" in told


def test_an_unconfirmed_rollback_is_loud_and_says_what_to_do(words: Any, story: Any) -> None:
    doubt = e.FlipUnconfirmed(seconds=60.2, missing=("web-2", "web-3"))
    back = story.running().rolled_back().happen(doubt)
    assert plain_text.render_text(rollback_alert.render_unconfirmed(back.now, doubt, story.at, words.zone)) == snapshot("""\
ROLLBACK NOT CONFIRMED: R-118 support-tone was told to switch at 12:00:00 CET, but after 60 s not every process serves v42.
Not confirmed by  web-2, web-3
Likely  a process that is stuck, or cut off from the database
Do now  restart it; until then it may still serve v43
[ Status ]
<@U2DANA> (owner): please act now\
""")
    assert "NOT CONFIRMED yet" in card.render(back.now, words.zone).text


def test_a_flag_system_that_was_not_read_back_is_named_with_what_to_do(words: Any, story: Any) -> None:
    flag = DrivenFlag(
        url="https://flags.example.com",
        project="p",
        environment="production",
        feature="new-prompt",
        strategy="s",
        system="unleash",
    )
    back = story.running().rolled_back()
    driven = replace(
        back.now, plan=replace(back.now.plan, drives=flag), flag_troubles={flag.title: "Unleash answers 503"}
    )
    alone = e.FlipUnconfirmed(seconds=60.2, missing=(flag.title,))
    assert plain_text.render_text(rollback_alert.render_unconfirmed(driven, alone, story.at, words.zone)) == snapshot("""\
ROLLBACK NOT CONFIRMED: R-118 support-tone was told to switch at 12:00:00 CET, but after 60 s new-prompt in Unleash (production) does not read 0 %.
Not confirmed by  new-prompt in Unleash (production)
Flag system  Unleash answers 503
Do now  set new-prompt in Unleash (production) to 0 % there by hand; Rampart keeps trying and will see it
[ Status ]
<@U2DANA> (owner): please act now\
""")
    beside = e.FlipUnconfirmed(seconds=60.2, missing=("web-2", flag.title))
    said = plain_text.render_text(rollback_alert.render_unconfirmed(driven, beside, story.at, words.zone))
    assert "not every process serves v42" in said
    assert "restart it" in said
    assert "set new-prompt in Unleash (production) to 0 % there by hand" in said


def test_whoever_approves_reads_which_flag_is_driven(words: Any, story: Any) -> None:
    flag = DrivenFlag(
        url="https://flags.example.com",
        project="p",
        environment="production",
        feature="new-prompt",
        strategy="s",
        system="unleash",
    )
    planned = story.planned().now
    driven = replace(planned, plan=replace(planned.plan, drives=flag))
    asked = e.ApprovalRequested(request="R-118.1", gate="start", needed=1, verdict="none", expires_at=words.monday)
    said = plain_text.render_text(approval.render(driven, asked, (), story.at, words.zone))
    assert "Flag it drives  new-prompt in Unleash (production), at https://flags.example.com" in said
    assert "drives new-prompt in Unleash (production)" in plain_text.render_text(card.render(driven, words.zone))
    assert "drives" not in plain_text.render_text(card.render(planned, words.zone))


def test_support_is_told_what_customers_saw_and_what_to_say(words: Any, story: Any) -> None:
    back = story.running().later(seconds=5882).rolled_back().now
    told = follow_up.render(
        back, back.rollback, "support", "Support assistant", story.at, words.zone, keeps_customers=True
    )
    assert plain_text.render_text(told) == snapshot("""\
Switched back: the support assistant answers as before again (since Tue 24 Nov 13:38 CET).
About 430 customers saw the new version between Tue 24 Nov 12:00 CET and 13:38 CET. It refused to answer too often.
If a customer complains about an answer from that time, you can say: “Sorry, that was a mistake on our side. Please ask again.”
It stays that way: you get a new notice before anything changes again.
[ Customers affected ]
R-118 · Owner: @dana · Questions? Ask in the thread\
""")
    not_kept = follow_up.render(back, back.rollback, "support", "Support assistant", story.at, words.zone)
    assert "Customers affected" not in plain_text.render_text(not_kept), "where no ids are kept, none can be listed"


@pytest.mark.shows("E76")
def test_marketing_may_speak_once_everyone_has_it(words: Any, story: Any) -> None:
    done = story.running(4).happen(story.evidence(), e.Completed(version="v43", retired="v42"))
    told = follow_up.render(
        done.now, e.Completed(version="v43", retired="v42"), "marketing", "Support assistant", story.at, words.zone
    )
    assert plain_text.render_text(told) == snapshot("""\
Watching is over: all customers keep the new version of the support assistant.
You may now say: “Answers are about a third shorter and start with the fix.” This is how the plan describes it; Rampart has not measured it.
For your information, not for public use: Answers that pass our checks: about 932 in 1,000 (with the old version: about 924 in 1,000).
R-118 · Owner: @dana · Questions? Ask in the thread\
""")


def test_every_event_has_a_line(words: Any, story: Any) -> None:
    story.running()
    events = (
        e.Paused(by="slack:T1/U4SAM", reason="odd greetings"),
        e.Resumed(by="cli:ana", reason="unrelated"),
        e.Held(key="limit:retry_rate:rises_by", text="retry_rate rises by 1 pp"),
        e.HoldCleared(key="no_data"),
        e.FeltOff(by="slack:T1/U4SAM", handle="@sam", text="too short"),
        e.ComplaintReported(
            by="slack:T1/U4SAM",
            handle="@sam",
            text="in English",
            arm="canary",
            version="v43",
            unit_hash="0c3f9a1be2d47788",
            message="",
        ),
        e.UnitMovedBack(by="slack:T1/U4SAM", unit_hash="0c3f9a1be2d47788", version="v42", reason="wants short ones"),
        e.ConcernRaised(notice="support:#support", by="slack:T1/U4SAM", handle="@sam", text="too soon"),
        e.ConcernsAnswered(by="slack:T1/U2DANA", handle="@dana", text="we start after the sale"),
        e.EvalRecorded(
            stage=0,
            suite="evals/support.yaml",
            ok=False,
            passed=182,
            failed=17,
            errors=1,
            reasons=("91.0 % passed, 92 % were agreed",),
            cases=("refund-7",),
            digest="d",
            by="cli:ana",
        ),
        e.MessageFailed(key="notice:1:support:#support", channel="#support", error="channel_not_found"),
        e.FlagSet(flag="new-prompt in Unleash (production)", percent=25.0, before=5.0, seconds=0.42),
        e.FlagSet(flag="new-prompt in Unleash (production)", percent=0.0, before=0.0, seconds=0.2),
        e.FlagNotSet(flag="new-prompt in Unleash (production)", percent=0.0, error="Unleash answers 503", trying=True),
        e.FlagNotSet(flag="new-prompt in Unleash (production)", percent=0.0, error="it is gone (404)", trying=False),
        e.Abandoned(by="slack:T1/U2DANA", reason="not needed"),
    )
    assert "\n".join(
        wording.strip_markup(event_lines.format_line(story.now, x, words.zone)) for x in events
    ) == snapshot("""\
Paused by <@U4SAM>: “odd greetings”. It stays at 5 %. Resume: /rollout resume R-118
Resumed by ana (command line): “unrelated”.
On hold: R-118, retry_rate rises by 1 pp. It does not grow until @dana decides.
Running again: R-118. The hold cleared by itself.
Feels off: @sam about R-118: “too short”. If a second person says so, no more customers get it until @dana decides.
Complaint: @sam about R-118: “in English”. The customer got v43: it counts against the new version (at most once an hour per customer).
Moved back by <@U4SAM>: one customer gets v42 again until R-118 ends. Reason: “wants short ones”.
Concern: @sam in #support about R-118: “too soon”.
@dana answered the concerns about R-118: “we start after the sale”.
Checks failed: R-118 evals/support.yaml, 182 of 200 passed, 1 error: 91.0 % passed, 92 % were agreed (refund-7).
Not delivered: a message to #support could not be posted (channel_not_found). Fix that, then pass the message on yourself.
Flag set: R-118, new-prompt in Unleash (production) is at 25 % (was 5 %), read back 0.42 s after the decision.
Flag set: R-118, new-prompt in Unleash (production) is at 0 %, read back 0.20 s after the decision.
FLAG NOT SET: R-118, new-prompt in Unleash (production) should be at 0 %: Unleash answers 503. Rampart keeps trying.
FLAG NOT SET: R-118, new-prompt in Unleash (production) should be at 0 %: it is gone (404). Fix that and Rampart sets it, or set it there by hand.
Abandoned by <@U2DANA>: R-118: “not needed”. Nothing changed.\
""")


def test_a_stage_says_what_was_and_what_comes(words: Any, story: Any) -> None:
    story.running(3)
    entered = e.StageEntered(index=3, name="ramp 25%", percent=25, skipped="copy fix")
    assert wording.strip_markup(event_lines.format_line(story.now, entered, words.zone)) == snapshot(
        "Growing: R-118 now 25 % (was 5 %). Risk accepted: the wait was skipped: “copy fix”. Next: everyone Wed 25 Nov 00:00 CET at the earliest."
    )


def test_a_list_is_a_line_each(words: Any, story: Any) -> None:
    rollout = story.running().now
    assert plain_text.render_text(status.render_list((rollout, rollout), words.zone, "Open now")) == snapshot("""\
Open now: 2.
Small test (5 %): R-118 support-tone. Next: 25 % Tue 24 Nov 18:00 CET at the earliest.
Small test (5 %): R-118 support-tone. Next: 25 % Tue 24 Nov 18:00 CET at the earliest.\
""")


def _states(words: Any) -> list[Any]:
    def fresh() -> Any:
        return words.story()

    held = e.Held(key="k", text="messages per conversation rose 12 % (limit 8 %), which nobody had expected at all")
    long = replace(words.plan, name="a-very-long-name-of-a-rollout-that-somebody-thought-was-helpful-to-everyone")
    waiting = fresh().running()
    waiting.happen(waiting.request(gate="ramp 25%", needed=2))
    return [
        fresh().planned(),
        fresh().planned().approved(),
        *(fresh().running(i) for i in range(len(words.stages))),
        words.story(plan=long).running(),
        words.story(plan=long).running().happen(held),
        words.story(plan=long).running(1).happen(held),
        waiting,
        fresh().running().happen(e.Paused(by="slack:T1/U4SAM", reason="x")),
        fresh().running().rolled_back(),
        fresh().running().happen(e.Completed(version="v43", retired="v42")),
        fresh().planned().happen(e.Abandoned(by="cli:ana", reason="x")),
    ]


def test_every_first_line_starts_with_its_state_and_fits(words: Any) -> None:
    seen = set()
    for story in _states(words):
        first = wording.strip_markup(headline.render(story.now, words.zone))
        assert len(first) <= FIRST_LINE_LIMIT, first
        assert first.startswith(wording.state_word(story.now))
        assert story.now.id in first
        seen.add(story.now.state)
    assert seen == set(RolloutState)


def test_a_rollout_is_never_described_with_a_date_before_its_own(words: Any, story: Any) -> None:
    story.running()
    at = headline.min_hold_ends_at(story.now)
    assert at is not None
    assert at - story.at == timedelta(hours=6)


def test_the_request_and_the_line_say_why_the_wait_was_skipped(words: Any, story: Any) -> None:
    running = story.running()
    asked = replace(running.request(gate="ramp 25%"), skipped="seen by all of us")
    running.happen(asked)
    said = plain_text.render_text(approval.render(running.now, asked, (), words.monday, words.zone))
    assert "Wait skipped: “seen by all of us”" in said
    assert "The wait was skipped: “seen by all of us”" in event_lines.format_line(running.now, asked, words.zone)


def test_a_hold_that_clears_itself_waits_for_nobody(words: Any, story: Any) -> None:
    held = e.Held(key="no_data", text="requests on the new version have stopped arriving")
    running = story.running().happen(held)
    assert "it continues once this clears" in headline.render(running.now, words.zone)
    assert "then it continues by itself" in event_lines.format_line(running.now, held, words.zone)
    said = plain_text.render_text(card.render(running.now, words.zone))
    assert "decides" not in said
    assert (
        'Next: it continues by itself once this clears. To go on without waiting: `/rollout resume R-118 "why"`. '
        "You can also roll back."
    ) in said


def test_a_hold_that_a_person_decides_names_what_they_can_do(words: Any, story: Any) -> None:
    held = story.running().happen(e.Held(key="felt_off:1", text="it feels off"))
    assert 'Next: `/rollout resume R-118 "why"`, or roll back.' in words.text(card.render(held.now, words.zone))


def test_an_old_version_that_may_be_gone_is_named_when_everybody_goes_back(words: Any, story: Any) -> None:
    back = story.running().rolled_back().now
    dated = replace(back, plan=replace(back.plan, rollback_until="2026-11-23"))
    said = plain_text.render_text(rollback_alert.render(dated, dated.rollback, story.at, None, words.zone))
    assert "v42 can be called until 2026-11-23, which has passed: check that it still answers" in said
    assert said.splitlines()[0].endswith("Next: check now that v42 still answers.")
    reviewed = replace(dated, review_due=story.at + timedelta(days=2))
    first = rollback_alert.render(reviewed, dated.rollback, story.at, None, words.zone).text
    assert first.endswith("Next: check now that v42 still answers."), "the review is asked for in a message of its own"
    later = replace(back, plan=replace(back.plan, rollback_until="2026-12-31"))
    assert "Old version" not in plain_text.render_text(
        rollback_alert.render(later, later.rollback, story.at, None, words.zone)
    )


def test_a_rollback_after_the_end_says_what_its_count_leaves_out(words: Any, story: Any) -> None:
    story.running(4).happen(story.evidence(), e.Completed(version="v43", retired="v42"))
    back = replace(story.rolled_back().now.rollback, after_done=True)
    said = plain_text.render_text(rollback_alert.render(story.now, back, story.at, None, words.zone))
    assert "counted until the rollout was done, after which everyone had it" in said


def test_after_the_end_support_is_told_that_more_people_had_it_than_were_counted(words: Any, story: Any) -> None:
    story.running(4).happen(e.Completed(version="v43", retired="v42"))
    story.later(days=1, hours=11).rolled_back(after_done=True)
    done = replace(story.now, completed_at=story.at - timedelta(days=1))

    def told(rollout: Any, **changes: Any) -> str:
        event = replace(story.now.rollback, **changes)
        rendered = follow_up.render(rollout, event, "support", "Support assistant", story.at, words.zone)
        return plain_text.render_text(rendered)

    counted = "About 430 customers saw the new version between Tue 24 Nov 12:00 CET and 23:00 CET."
    assert f"{counted} After that, everyone had it. It refused to answer too often." in told(done)
    by_a_person = told(done, findings=())
    assert f"{counted.replace('About', 'At least')} After that, everyone had it." in by_a_person
    assert "reported to have had it so far. After that, everyone had it." in told(done, exposed_units=0)
    held = replace(done, plan=replace(done.plan, holdout=Holdout(percent=5, lasts=timedelta(days=90))))
    assert "After that, everyone but 5 % held back had it." in told(held)
    alert = rollback_alert.render(held, replace(story.now.rollback, after_done=True), story.at, None, words.zone)
    assert "after which everyone but 5 % held back had it" in plain_text.render_text(alert)


@pytest.mark.parametrize(("hours", "until"), [(1, "13:00 CET"), (13, "Wed 25 Nov 01:00 CET")])
def test_a_time_span_has_its_second_date_only_where_it_is_long(words: Any, story: Any, hours: int, until: str) -> None:
    """Half a day or more: so a time alone is the next one of that hour, in every zone in which it is read."""
    back = story.running().later(hours=hours).rolled_back().now
    told = follow_up.render(back, back.rollback, "support", "Support assistant", story.at, words.zone)
    assert f"between Tue 24 Nov 12:00 CET and {until}" in plain_text.render_text(told)


def test_a_plan_that_cannot_start_any_more_says_so(words: Any, story: Any) -> None:
    moved = e.BaseChanged(live="v44")
    dated = story.planned().approved().happen(moved).now
    assert event_lines.format_line(dated, moved, words.zone) == (
        "Changed meanwhile: R-118 starts from v42, but v44 is now live on support-assistant. "
        "Its plan will be renewed on v44 when its turn comes."
    )
    planned = replace(dated, start=None)
    assert event_lines.format_line(planned, moved, words.zone) == (
        "Cannot start: R-118 starts from v42, but v44 is now live on support-assistant. "
        "Set `change.from` to v44 and apply the file again, or /rollout abandon R-118."
    )
    shown = plain_text.render_text(card.render(planned, words.zone))
    assert "Cannot start: v42 is no longer live, v44 is." in shown
    assert "May start" not in shown
    again = e.BaseChanged(live="v42")
    assert "Can start again" in event_lines.format_line(planned, again, words.zone)


def test_the_start_says_who_was_asked_to_confirm_and_has_not(words: Any, story: Any) -> None:
    running = story.running().now
    started = e.Started(fingerprint=running.fingerprint, by="slack:T1/U2DANA")
    assert "Nobody in #support has confirmed the notice." in event_lines.format_line(running, started, words.zone)
    read = replace(running, acknowledged={"support:#support": ("@kim",)})
    assert "confirmed" not in event_lines.format_line(read, started, words.zone)
