"""Which hold a verdict asks for, under which key a person sets it aside, and which ones clear themselves."""

from core.judging.model import verdict as v
from core.rollout.events import Held
from core.rollout.model import Rollout

NO_DATA, SPLIT, BROKEN = "no_data", "split", "broken_evidence"
UNDECIDED = "undecided:"
UNREAD = "unread"
_SOURCE = "source:"


def asked_for(rollout: Rollout, verdict: v.Verdict) -> Held | None:
    """The hold that a verdict asks for, where nobody has set that finding aside."""
    match verdict:
        case v.Hold():
            new = tuple(f for f in verdict.findings if key_of(f) not in rollout.overridden)
            if new:
                where = f" in {new[0].segment}" if new[0].segment else ""
                return Held(key=key_of(new[0]), text=f"{new[0].metric} {new[0].limit_text}{where}", findings=new)
        case v.Skewed() | v.BrokenSource() | v.NoData() if (key := key_of(verdict)) not in rollout.overridden:
            return Held(key=key, text=_text(verdict))
    return None


def key_of(finding: v.Finding | v.Skewed | v.BrokenSource | v.NoData) -> str:
    """What a resume sets aside: this limit of this metric, or this way of not knowing, and no other finding."""
    match finding:
        case v.Finding():
            where = f":{finding.segment}" if finding.segment else ""
            return f"limit:{finding.metric}:{finding.kind}{where}"
        case v.Skewed():
            return f"{SPLIT}:{finding.number or 1}"
        case v.BrokenSource():
            return f"{_SOURCE}{finding.metric}"
        case v.NoData():
            return NO_DATA


def is_of_split(key: str) -> bool:
    """Whether a key names a finding of a wrong split."""
    return key.partition(":")[0] == SPLIT


def clears_itself(key: str) -> bool:
    """Whether a hold ends by itself: once what was missing is there again, or people are split as planned again."""
    return key in {NO_DATA, BROKEN, UNREAD} or key.startswith(_SOURCE) or is_of_split(key)


def is_over(key: str, verdict: v.Verdict) -> bool:
    """Whether a hold that clears itself may end at this verdict."""
    if not clears_itself(key) or key == UNREAD:
        return False  # what was never read is told by the limits, and not by the verdict
    return not isinstance(verdict, v.Skewed if is_of_split(key) else v.NoData | v.BrokenSource)


def _text(verdict: v.Skewed | v.BrokenSource | v.NoData) -> str:
    match verdict:
        case v.Skewed(expected_share=expected, observed_share=observed):
            return f"the traffic split is wrong: {observed:.1%} on the new version instead of {expected:.1%}"
        case v.BrokenSource(metric=metric, arm=arm):
            return f"{metric} of the {_version(arm)} version has stopped arriving"
        case v.NoData(arm=arm):
            return f"no requests on the {_version(arm)} version arrive any more"


def _version(arm: str) -> str:
    return "new" if arm == "canary" else "current"
