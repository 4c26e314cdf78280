"""What a count of false alarms says about their rate."""

from scipy.stats import beta, binom


def upper_limit(alarms: int, runs: int, confidence: float = 0.95) -> float:
    """The one-sided upper limit of a rate (Clopper and Pearson 1934)."""
    return 1.0 if alarms == runs else float(beta.ppf(confidence, alarms + 1, runs - alarms))


def most_alarms(rate: float, runs: int, chance: float = 0.001) -> int:
    """The count that so many runs at this true rate exceed with at most this chance."""
    return int(binom.ppf(1 - chance, runs, rate))
