"""How often a judge errs on anchors that people have labelled, and pass rates without those errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.shadow_eval.find_drift import Verdicts
from core.stats.prevalence import CorrectedRate, KnownShare, correct_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownError:
    """Of the answers that people call good, the share that a judge passes; of the bad ones, the share that it fails."""

    sensitivity: KnownShare
    specificity: KnownShare

    @property
    def is_no_better_than_chance(self) -> bool:
        """Whether the judge passes bad answers as often as good ones, so that what it says tells nothing."""
        return self.sensitivity.value + self.specificity.value <= 1

    def correct(self, rate: float, readings: float) -> CorrectedRate | None:
        """The pass rate that people would see behind a judge's `rate` of so many independent answers.

        None if there are no readings, or the judge is no better than chance.
        """
        if readings <= 0:
            return None
        raw = KnownShare(hits=rate * readings, of=readings)
        return correct_rate(raw, self.sensitivity, self.specificity)


def measure_error(labels: Mapping[str, bool], rounds: Sequence[Verdicts]) -> KnownError | None:
    """The judge's error over these rounds, by anchor and whether people call its answer good.

    An anchor is one item however often it was judged: it counts with the share of rounds in which the judge was right.
    None if no good answer, or no bad one, was judged.
    """
    good, bad = (_measure_share(labels, rounds, label=label) for label in (True, False))
    return KnownError(sensitivity=good, specificity=bad) if good is not None and bad is not None else None


def _measure_share(labels: Mapping[str, bool], rounds: Sequence[Verdicts], *, label: bool) -> KnownShare | None:
    shares = []
    for anchor, good in sorted(labels.items()):
        said = [one[anchor] for one in rounds if anchor in one] if good is label else []
        if said:
            shares.append(sum(verdict is label for verdict in said) / len(said))
    return KnownShare(hits=sum(shares), of=len(shares)) if shares else None
