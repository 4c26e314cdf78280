"""The table of verbs: what Slack, HTTP and the command line can ask for."""

from collections.abc import Mapping

from bot.commands.verb import FreeTextForm, Verb, VerbArguments
from core.rollout import commands as c

REVIEW_FLAGS: Mapping[str, str] = {
    name.replace("_", "-"): name
    for name in ("numbers", "unexpected", "behaviour", "cost", "worked", "failed", "next_time")
}
"""The flags that hold an answer of a review, each with its field of `SubmitReview`."""


def _build_review(arguments: VerbArguments) -> c.SubmitReview:
    texts = {field: arguments.answers.get(field, "") for field in REVIEW_FLAGS.values()}
    return c.SubmitReview(keeps_baseline=arguments.keeps_baseline, baseline=None, **texts)


VERBS: Mapping[str, Verb] = {
    "help": Verb(usage="help [verb]", does="All commands, or one of them with an example.", example="help rollback"),
    "status": Verb(
        group="See",
        usage="status [id]",
        does="Where a rollout stands and what comes next.",
        example="status R-118",
        has_json=True,
    ),
    "list": Verb(
        group="See",
        usage="list [--mine|--surface S|--state S|--all]",
        does="Rollouts that are planned or under way; `--all` includes those that have ended.",
        example="list --surface support-assistant",
        flags={"mine": False, "all": False, "surface": True, "state": True},
        has_json=True,
    ),
    "plan": Verb(
        group="See",
        usage="plan [id]",
        brief="plan <id>",
        does="What a plan means: what happens when, who is told, and how soon each limit would notice harm. A rollout "
        "file that is pasted after it is checked and shown the same way.",
        example="plan R-118",
    ),
    "summary": Verb(
        group="See",
        usage="summary [id]",
        brief="summary <id>",
        does="The last summary of a rollout: new version against the old one, as in its thread.",
        example="summary R-118",
    ),
    "evidence": Verb(
        group="Why",
        usage="evidence <n> [id]",
        brief="evidence <n>",
        does="What was known at one recorded piece of evidence, by its number.",
        example="evidence 12 R-118",
    ),
    "create": Verb(
        group="Start",
        usage="create [surface]",
        does="Plan a rollout with a form. Nothing starts before you have seen the plan and said so.",
        example="create support-assistant",
        role="operator",
    ),
    "start": Verb(
        group="Start",
        usage='start <id> [--at "Tue 10:00"|--queue]',
        brief="start <id>   (from a file: rollout apply FILE)",
        does="Start, once every approval is in and every notice has had its lead time; with `--queue`, once nothing "
        "else runs on that AI feature.",
        example="start R-118",
        flags={"at": True, "queue": False},
        build=lambda a: c.Start(then=a.then, queue=a.queue),
    ),
    "approve": Verb(
        group="Steer",
        usage='approve <id> ["note"]',
        does="Approve the open request. You cannot approve your own change.",
        example='approve R-118 "ok for Tuesday"',
        text=FreeTextForm.QUOTED,
        build=lambda a: c.Approve(request=a.request, note=a.reason),
        needs_fresh_rights=True,
    ),
    "reject": Verb(
        group="Steer",
        usage="reject <id> why",
        does="Reject the open request and say why.",
        example="reject R-118 not before the sale",
        text=FreeTextForm.REST,
        build=lambda a: c.Reject(request=a.request, reason=a.reason),
        needs_fresh_rights=True,
    ),
    "advance": Verb(
        group="Steer",
        usage='advance <id> [to P%] [--skip-wait "why"]',
        does="Take the next step without waiting longer. Never skips an approval or a check.",
        example='advance R-118 to 25% --skip-wait "copy fix, seen by all of us"',
        text=FreeTextForm.QUOTED,
        flags={"skip-wait": True},
        build=lambda a: c.Advance(to_percent=a.to_percent, reason=a.reason),
        needs_fresh_rights=True,
    ),
    "decide": Verb(
        group="Steer",
        usage='decide <id> keep|back "why"',
        does="Decide a long comparison once it is over: keep the new version, or go back to the old one.",
        example='decide R-118 keep "better on every measure, and support agrees"',
        text=FreeTextForm.QUOTED,
        build=lambda a: c.Decide(keep={"keep": True, "back": False}.get(a.choice), reason=a.reason),
        needs_fresh_rights=True,
    ),
    "pause": Verb(
        group="Steer",
        usage="pause <id> [why]",
        does="Stop growing. The share stays as it is and limits are still watched. Every full member can. Also: hold.",
        example="pause R-118 support sees odd greetings",
        aliases=("hold",),
        text=FreeTextForm.REST,
        build=lambda a: c.Pause(reason=a.reason),
        is_urgent=True,
    ),
    "resume": Verb(
        group="Steer",
        usage="resume <id> why",
        does="Continue after a pause or a hold. That one finding no longer counts.",
        example="resume R-118 the greeting bug was unrelated",
        text=FreeTextForm.REST,
        build=lambda a: c.Resume(reason=a.reason),
    ),
    "rollback": Verb(
        group="Stop",
        usage="rollback [id|surface] [--stratum NAME] [why]",
        brief="rollback <id>   (every full member can; takes seconds)",
        does="Everyone gets the old version again, in seconds. Every full member can, in any state, in any words. "
        "`--stratum` rolls back one audience of the plan alone; one that it does not have means everyone.",
        example="rollback R-118 answers are wrong",
        aliases=("roll-back",),
        text=FreeTextForm.REST,
        build=lambda a: c.RollBack(reason=a.reason, stratum=a.stratum),
        is_urgent=True,
    ),
    "extend": Verb(
        group="Steer",
        usage="extend <id>",
        does="Give a stage that is on hold for lack of evidence three more of its longest holds. Nothing is accepted: "
        "it grows before that only if there is enough evidence.",
        example="extend R-118",
        build=lambda a: c.ExtendStage(),
    ),
    "explain-rollback": Verb(
        does="Say afterwards why a rollout was rolled back.",
        build=lambda a: c.ExplainRollback(cause=a.choice, reason=a.reason),
    ),
    "reverted": Verb(
        group="Stop",
        usage='reverted <id> ["note"]',
        does="Say that the code of a rolled back rollout is reverted and deployed; until then messages say it is not.",
        example='reverted R-118 "deployed as 2026-12-01.3"',
        text=FreeTextForm.QUOTED,
        build=lambda a: c.ConfirmReverted(note=a.reason),
    ),
    "abandon": Verb(
        group="Steer",
        usage="abandon <id> [why]",
        does="Give up a plan before its start.",
        example="abandon R-118 no longer needed",
        text=FreeTextForm.REST,
        build=lambda a: c.Abandon(reason=a.reason),
    ),
    "review": Verb(
        group="Learn",
        usage='review <id> [--numbers "…" --unexpected "…" --behaviour "…" --cost "…"]',
        brief="review <id>",
        does="What a rollout has shown once it has ended, and its four questions. With answers, the review is written.",
        example="review R-118",
        flags={**dict.fromkeys(REVIEW_FLAGS, True), "not-normal": False},
        build=_build_review,
        has_json=True,
    ),
    "digest": Verb(
        group="Learn",
        usage="digest [week]",
        does="The last week in numbers, or the one you name, as `this week`: shipped, rolled back, how fast, "
        "shortcuts, surprises, and what is left to do.",
        example="digest 2026-W48",
        has_json=True,
    ),
    "baseline": Verb(
        group="Learn",
        usage="baseline [surface]",
        does="What is normal for an AI feature, as a review kept it, and which limits the next plan could have.",
        example="baseline support-assistant",
        has_json=True,
    ),
    "request-approval": Verb(
        group="Steer",
        usage="request-approval <id>",
        brief="request-approval",
        does="Ask for the open approval again: the request stands at the end of the thread, and its groups are "
        "mentioned.",
        example="request-approval R-118",
        build=lambda a: c.RequestApproval(),
    ),
    "end-holdout": Verb(
        group="Steer",
        usage="end-holdout <id> [why]",
        brief="end-holdout <id>",
        does="Give those who were held back after a rollout was done the new version, before their time is over. What "
        "they showed is compared and told.",
        example="end-holdout R-118 support wants one version",
        text=FreeTextForm.REST,
        build=lambda a: c.EndHoldout(reason=a.reason),
    ),
    "break-glass": Verb(
        group="Steer",
        usage='break-glass <id> advance|start [to P%] "why (20+ characters)"',
        brief="break-glass <id>",
        does="Go on without the approvals, waits and freezes that are missing. Only for the groups that the policy "
        "names; everybody reads it, and it is reviewed. Never skips a gate or a broken limit.",
        example='break-glass R-118 start "checkout is down and this is the fix"',
        text=FreeTextForm.QUOTED,
        build=lambda a: c.ForceForward(action=a.choice, to_percent=a.to_percent, reason=a.reason),
        needs_fresh_rights=True,
    ),
    "freeze": Verb(
        group="Stop",
        usage='freeze [surface] until|for <when> "why"',
        brief="freeze [surface] until <when>",
        does="Nothing starts and nothing grows until then, on one AI feature or on all. Rolling back still works.",
        example='freeze support-assistant until Mon 08:00 "year-end sale"',
        text=FreeTextForm.QUOTED,
    ),
    "unfreeze": Verb(
        group="Start",
        usage="unfreeze [surface]",
        does="End a freeze that somebody declared, before its time.",
        example="unfreeze support-assistant",
        role="operator",
    ),
    "metrics": Verb(
        group="See",
        usage="metrics <id> [metric] [--segment k=v]",
        brief="metrics <id>",
        does="New version against the old one, measure by measure; one metric, or one segment.",
        example="metrics R-118 refusal_rate --segment language=de",
        flags={"segment": True},
        has_json=True,
    ),
    "samples": Verb(
        group="Why",
        usage="samples <id>",
        does="The answers that the judge rated worst, both versions side by side; for those who may read prompts.",
        example="samples R-118",
    ),
    "segments": Verb(
        group="See",
        usage="segments <id>",
        does="Whether it is worse for some people than for others: every segment, worst first.",
        example="segments R-118",
        has_json=True,
    ),
    "strata": Verb(
        group="See",
        usage="strata <id>",
        does="Each audience of a rollout in one table, compared within itself, and which was rolled back alone.",
        example="strata R-118",
        has_json=True,
    ),
    "checks": Verb(
        group="See",
        usage="checks <id>",
        does="What the eval results say: the rate, which cases broke, cost and speed, and what an eval cannot show.",
        example="checks R-118",
        has_json=True,
    ),
    "history": Verb(
        group="See",
        usage="history <id> [--csv]",
        brief="history <id>",
        does="Everything that happened, with who and when. `--csv` sends all of it as a file.",
        example="history R-118",
        flags={"csv": False},
        has_json=True,
    ),
    "versions": Verb(
        group="See",
        usage="versions [surface]",
        does="Every version of an AI feature: who made it, when it was live, and when it was retired.",
        example="versions support-assistant",
        has_json=True,
    ),
    "diff": Verb(
        group="See",
        usage="diff <vA> <vB> [surface]",
        brief="diff <vA> <vB>",
        does="What differs between two versions, or what a rollout changes (`diff R-118`).",
        example="diff v42 v43",
        has_json=True,
    ),
    "explain": Verb(
        group="Why",
        usage="explain <id> <metric>",
        does="One metric in words and numbers: what it means, what would make it fire, and its trend.",
        example="explain R-118 refusal_rate",
        has_json=True,
    ),
    "whois": Verb(
        group="See",
        usage='whois <user> [surface] [at "Tue 13:00"] [--where plan=pro]',
        brief="whois <user>",
        does="Which version somebody gets, why, and which they got before. `at` asks about a moment in the past; "
        "`--where` says what you know of them, if a cohort depends on it.",
        example='whois cust_8841 support-assistant at "Tue 13:00"',
        flags={"at": True, "where": True},
    ),
    "customers": Verb(
        group="See",
        usage="customers <id> [page]",
        brief="customers <id>",
        does="Which customers got the new version, if the policy keeps their ids. For operators, and in the channels "
        "that the policy names; only you see the answer.",
        example="customers R-118",
    ),
    "complaint": Verb(
        group="Tell",
        usage='complaint "what happened" [--user U] [--id R]',
        brief='complaint "what happened"',
        does="Report that a customer complained about an AI answer. With `--user` it counts for the version that this "
        "customer got. Also: “Report AI answer” in the menu of a message.",
        example='complaint "it answered in English" --user cust_8841',
        aliases=("complain",),
        text=FreeTextForm.QUOTED,
        flags={"user": True, "id": True},
        build=lambda a: c.ReportComplaint(text=a.reason, unit=a.unit, message=a.message),
    ),
    "move-back": Verb(
        group="Stop",
        usage='move-back <user> [id] ["why"]',
        brief="move-back <user>   (one customer gets the old version again)",
        does="One customer gets the old version again until the rollout ends. Every full member can.",
        example='move-back cust_8841 R-118 "asked for the old answers"',
        text=FreeTextForm.QUOTED,
        build=lambda a: c.MoveBack(unit=a.unit, reason=a.reason),
        is_urgent=True,
    ),
    "notice": Verb(
        group="Tell",
        usage="notice <id> [preview|send|ack]",
        brief="notice <id>",
        does="Who was told and who has read it; `preview` shows the texts, `ack` confirms that you have read yours.",
        example="notice R-118 preview",
    ),
    "subscribe": Verb(
        group="Tell",
        usage="subscribe <surface> as support|marketing|engineering|downstream",
        brief="subscribe <surface> as support",
        does="Get the notices of an AI feature, and what follows, as direct messages.",
        example="subscribe support-assistant as support",
    ),
    "unsubscribe": Verb(
        group="Tell",
        usage="unsubscribe [surface] [as support|marketing|engineering|downstream]",
        brief="unsubscribe",
        does="Stop those direct messages: for one AI feature, or for all of them.",
        example="unsubscribe support-assistant",
    ),
    "acknowledge": Verb(does="Confirm that a notice was read.", build=lambda a: c.AcknowledgeNotice(notice=a.notice)),
    "concern": Verb(
        does="Tell the owner of a plan what worries you about a notice.",
        build=lambda a: c.RaiseConcern(notice=a.notice, text=a.reason),
    ),
    "answer": Verb(
        group="Tell",
        usage="answer <id> your answer",
        brief="answer <id> your answer",
        does="Answer the concerns that people have raised. At high risk it cannot start before that.",
        example="answer R-118 refunds still go to a person",
        text=FreeTextForm.REST,
        build=lambda a: c.AnswerConcerns(text=a.reason),
    ),
    "remind-me": Verb(
        group="Tell",
        usage="remind-me <id> [--next]",
        example="remind-me R-118 --next",
        does="Get a direct message when watching is over, or it is switched back; with `--next` as soon as it grows, "
        "stops or waits for somebody.",
        flags={"next": False},
        build=lambda a: c.RequestReminder(notice=a.notice, next_step=a.next_step),
    ),
    "feels-off": Verb(
        group="Tell",
        usage="feels-off <id> [why]",
        brief="feels-off <id> [why]",
        does="Say that the new version feels wrong. Once two people have, no more customers get it until somebody "
        "decides.",
        example="feels-off R-118 too short for refunds",
        aliases=("feelsoff",),
        text=FreeTextForm.REST,
        build=lambda a: c.FeelsOff(text=a.reason),
    ),
    "vote": Verb(
        group="Tell",
        usage="vote <id> good|worse|cant-tell|withdraw [why]",
        brief="vote <id> good|worse|cant-tell",
        does="Say as a tester how the version is that you get. Your last answer in a stage counts; you can change or "
        "withdraw it.",
        example="vote R-118 worse it no longer says which plan I am on",
        text=FreeTextForm.REST,
        build=lambda a: c.CastVote(choice=a.choice, text=a.reason, stage=a.stage),
    ),
}

TYPED_VERBS: Mapping[str, Verb] = {name: verb for name, verb in VERBS.items() if verb.usage}
VERB_ALIASES: Mapping[str, str] = {alias: name for name, verb in VERBS.items() for alias in verb.aliases}
HTTP_VERBS: Mapping[str, str] = {name.replace("-", "_"): name for name, verb in VERBS.items() if verb.build is not None}
"""Command names of the HTTP interface, each with its verb."""


def build_command(verb: str, arguments: VerbArguments) -> c.PersonCommand:
    """The command of a verb. ValueError for a verb that only reads."""
    build = VERBS[verb].build
    if build is None:
        raise ValueError(f"{verb} changes nothing")
    return build(arguments)


def takes_rest_of_line(verb: str) -> bool:
    """Whether everything typed after the verb is a rollout and one free text."""
    return VERBS[verb].text is FreeTextForm.REST
