"""Whether the judge that gives readings is trusted: what a look is told, and what the engine keeps to go back to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeNews:
    """What a look is told of the judge: which `metrics` it gives, and how often it was found good and found moved.

    What those metrics showed since it was last found good is set aside whenever it is found moved. While it is
    `doubted`, as it has moved and is not back, its metrics are silent on purpose.
    """

    metrics: tuple[str, ...]
    trusted: int
    voided: int
    doubted: bool = False
