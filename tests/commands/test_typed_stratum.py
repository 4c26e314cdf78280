"""A rollback may name one stratum; however it is typed, it is found, and the rest stays the reason."""

import pytest

from bot.commands.parsing.grammar import parse
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.parsing.typed_stratum import join_names


@pytest.mark.parametrize(
    ("line", "stratum", "rollout", "reason"),
    [
        ("rollback R-1 --stratum free answers are odd", "free", "R-1", "answers are odd"),
        ("rollback --stratum free R-1 answers are odd", "free", "R-1", "answers are odd"),
        ("rollback R-1 answers are odd --stratum free", "free", "R-1", "answers are odd"),
        ("rollback R-1 --stratum=free odd", "free", "R-1", "odd"),
        ("rollback R-1 --stratum: free odd", "free", "R-1", "odd"),
        ("rollback R-1 —stratum free odd", "free", "R-1", "odd"),
        ("rollback R-1 –stratum free odd", "free", "R-1", "odd"),
        ("rollback R-1 -stratum free odd", "free", "R-1", "odd"),
        ("rollback R-1 --STRATUM Free odd", "Free", "R-1", "odd"),
        ('rollback R-1 --stratum "power users" odd', "power users", "R-1", "odd"),
        ("rollback R-1 --stratum “power users” odd", "power users", "R-1", "odd"),
        ("rollback R-1 --strata free odd", "free", "R-1", "odd"),
        ("rollback R-1 --stratum", "", "R-1", ""),
        ("roll back R-1 --stratum free!", "free", "R-1", ""),
        ("please rollback r1 --stratum free", "free", "r1", ""),
        ("rollback R-1 --stratum free --stratum paid odd", "free, paid", "R-1", "odd"),
        ("rollback --stratum free R-1 --stratum paid", "free, paid", "R-1", ""),
        ("rollback R-1 --stratum free --stratum=free odd", "free", "R-1", "odd"),
        ("rollback R-1 --strata free,paid odd", "free,paid", "R-1", "odd"),
    ],
)
def test_it_is_found_wherever_it_stands(line: str, stratum: str, rollout: str, reason: str) -> None:
    parsed = parse(line)
    assert isinstance(parsed, ParsedCommand)
    assert (parsed.verb, parsed.flags["stratum"], parsed.rollout, parsed.text) == ("rollback", stratum, rollout, reason)


@pytest.mark.parametrize("line", ["rollback R-1 the free stratum is odd", "rollback R-1 --stratumfree odd"])
def test_words_alone_name_none(line: str) -> None:
    parsed = parse(line)
    assert isinstance(parsed, ParsedCommand)
    assert "stratum" not in parsed.flags


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", "free"),
        ("they complain", "free"),
        ("paid", "free, paid"),
        ("and PAID, they complain", "free, paid"),
        ("& paid", "free, paid"),
        ("und paid", "free, paid"),
        ("paid-up people are fine", "free"),
        ("android is odd", "free"),
        ("as paid ones do", "free"),
        ("free", "free"),
    ],
)
def test_another_stratum_that_follows_is_meant_as_well(text: str, meant: str) -> None:
    assert join_names("free", text, ("free", "paid")) == meant
