"""Which verdicts hold a rollout, the key by which a person overrides a hold, and which holds clear automatically."""

from core.judging.limits.limits import phrase_limit
from core.judging.model import verdict as v
from core.rollout.state.events import Held
from core.rollout.state.model import Rollout

NO_DATA, SPLIT, BROKEN = "no_data", "split", "broken_evidence"
UNDECIDED = "undecided:"
DRILL = "drill"  # the rehearsed rollback took too long; a resume repeats it
DECISION = "decision:"  # a long comparison is over, and a person decides
UNREAD = "unread"
COMPLAINTS = "complaints"  # more than is normal at these hours of the week, where there is no control
FELT_OFF = "felt_off"  # several people say that the new version feels off
VOTES = "votes:"  # testers call the new version worse beyond chance; the number of the stage follows
JUDGE_MOVED = "judge_moved:"  # the anchors show that the judge has moved; the number of the round follows
BUNDLE = "bundle:"  # another rollout of the same bundle holds; its id follows
LIMIT = "limit:"  # a limit that is broken; its metric, its kind and its segment follow
_SOURCE = "source:"


def hold_for_verdict(rollout: Rollout, verdict: v.Verdict) -> Held | None:
    """The hold that a verdict calls for; None if there is none or a person has overridden the finding."""
    match verdict:
        case v.Hold():
            new = tuple(f for f in verdict.findings if hold_key(f) not in rollout.overridden)
            if new:
                where = f" in {new[0].segment}" if new[0].segment else ""
                return Held(key=hold_key(new[0]), text=f"{name_limit(new[0])}{where}", findings=new)
        case v.Skewed() | v.BrokenSource() | v.NoData() if (key := hold_key(verdict)) not in rollout.overridden:
            return Held(key=key, text=_describe_missing_evidence(verdict))
    return None


def name_limit(finding: v.Finding) -> str:
    """A broken limit in plain words: `declined to answer, a rise of 3 pp`."""
    title = finding.title or finding.metric
    return f"{title[:1].lower()}{title[1:]}, {phrase_limit(finding.limit_text)}"


def hold_key(finding: v.Finding | v.Skewed | v.BrokenSource | v.NoData) -> str:
    """The key that a resume overrides: this limit of this metric, or this kind of missing evidence, and nothing
    else."""
    match finding:
        case v.Finding():
            where = f":{finding.segment}" if finding.segment else ""
            return f"{LIMIT}{finding.metric}:{finding.kind}{where}"
        case v.Skewed():
            return f"{SPLIT}:{finding.number or 1}"
        case v.BrokenSource():
            return f"{_SOURCE}{finding.metric}"
        case v.NoData():
            return NO_DATA


def is_split_key(key: str) -> bool:
    """Whether the key is of a sample-ratio mismatch."""
    return key.partition(":")[0] == SPLIT


def clears_itself(key: str) -> bool:
    """Whether a hold with this key ends automatically: once data arrives, split or judge are as before again, or the
    other rollout of the bundle goes on."""
    own = key.startswith((_SOURCE, JUDGE_MOVED, BUNDLE))
    return key in {NO_DATA, BROKEN, UNREAD} or own or is_split_key(key)


def find_bundle_cause(key: str) -> str:
    """The id of the rollout of the same bundle that this hold follows; empty if it follows none."""
    return key.removeprefix(BUNDLE) if key.startswith(BUNDLE) else ""


def has_cleared(key: str, verdict: v.Verdict) -> bool:
    """Whether a hold that clears automatically may end at this verdict."""
    if not clears_itself(key) or key == UNREAD or key.startswith((JUDGE_MOVED, BUNDLE)):
        # blind spots show whether a metric was ever read, anchors whether the judge is back, and what another rollout
        # does is in no verdict
        return False
    return not isinstance(verdict, v.Skewed if is_split_key(key) else v.NoData | v.BrokenSource)


def _describe_missing_evidence(verdict: v.Skewed | v.BrokenSource | v.NoData) -> str:
    """The text of a hold for missing or mismatched evidence."""
    match verdict:
        case v.Skewed(expected_share=expected, observed_share=observed):
            return f"the traffic split is wrong: {observed:.1%} on the new version instead of {expected:.1%}"
        case v.BrokenSource(metric=metric, title=title, source=source, why=why) if source:
            return f"{_name_reading(metric, title)} cannot be read from the source {source}: {why}"
        case v.BrokenSource(metric=metric, title=title, arm=arm):
            return f"{_name_reading(metric, title)} of the {_label_arm(arm)} version has stopped arriving"
        case v.NoData(arm=arm):
            return f"requests on the {_label_arm(arm)} version have stopped arriving"


def _name_reading(metric: str, title: str) -> str:
    """A metric with the key under which applications report it, for whoever has to look for its readings."""
    return f"{title[:1].lower()}{title[1:]} ({metric})" if title else metric


def _label_arm(arm: str) -> str:
    """What people call the version of an arm."""
    return "new" if arm == "canary" else "old"
