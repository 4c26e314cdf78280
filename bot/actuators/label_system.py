"""A label that names one version of a model or a prompt, read and moved as a percentage: 0 for the old, 100 for the new
one."""

from collections.abc import Callable, Iterable

from bot.outbound.errors import PermanentFailure
from core.rollout.plans.plan import DrivenFlag


def read_label(driven: DrivenFlag, find_version: Callable[[], str | None]) -> float:
    """100 if the label names the new version, else 0: whatever else it names, it gives nobody the new one."""
    return 100.0 if find_version() == driven.new else 0.0


def choose_version(driven: DrivenFlag, percent: float, named: str | None) -> str:
    """The version that the label is to name, while it names `named` (None: no version).

    Raises `PermanentFailure` where somebody moved it to a version that this plan knows nothing of.
    """
    if named is not None and named not in (driven.new, driven.old):
        raise PermanentFailure(
            f"{driven.title} names version {named}, and the plan moves it from {driven.old} to {driven.new}: somebody "
            f"else moved it, so it is left alone. Move it to {driven.old} by hand, or plan anew from {named}"
        )
    return (driven.new if percent >= 100 else driven.old) or ""


def describe_new_label(driven: DrivenFlag, labels: Iterable[str]) -> str:
    """That no version has the label, so that the rollout would make it; `labels` are those there are."""
    known = ", ".join(sorted({str(label) for label in labels})[:20])
    return (
        f"no version of {driven.feature} has {driven.strategy} yet, so the rollout would make it: is it spelt as "
        f"applications read it? There {'are ' + known if known else 'is none so far'}"
    )
