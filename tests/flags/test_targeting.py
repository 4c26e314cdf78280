"""Who belongs to a cohort; in doubt, nobody."""

from typing import Any

import pytest

from core.flags.targeting import parse_conditions


@pytest.mark.shows("E35", "E36", "E37")
@pytest.mark.parametrize(
    ("conditions", "context", "inside"),
    [
        ({}, {}, True),
        ({"plan": "pro"}, {"plan": "pro"}, True),
        ({"plan": "pro"}, {"plan": "Pro"}, False),
        ({"plan": "pro"}, {}, False),
        ({"plan": ("pro", "team")}, {"plan": "team"}, True),
        ({"plan": ("pro", "team")}, {"plan": "free"}, False),
        ({"plan": "pro", "region": "eu"}, {"plan": "pro", "region": "eu"}, True),
        ({"plan": "pro", "region": "eu"}, {"plan": "pro", "region": "us"}, False),
        ({"opted_in": "true"}, {"opted_in": True}, True),
        ({"opted_in": "true"}, {"opted_in": False}, False),
        ({"opted_in": "1"}, {"opted_in": True}, False),
        ({"tier": "3"}, {"tier": 3}, True),
        ({"tier": "3"}, {"tier": 3.0}, True),
        ({"tier": "None"}, {"tier": None}, False),
        ({"groups": "a"}, {"groups": ["a"]}, False),
        ({"groups": "a"}, {"groups": {"a": 1}}, False),
    ],
)
def test_every_condition_must_hold(conditions: Any, context: Any, inside: bool) -> None:
    assert parse_conditions(conditions).matches(context) is inside


@pytest.mark.shows("E34")
@pytest.mark.parametrize(
    ("context", "inside"),
    [
        ({"email": "ana@example.com"}, True),
        ({"email": "Ana@EXAMPLE.com "}, True),
        ({"email": '"odd@name"@example.com'}, True),
        ({"email": "ana@example.com.evil.net"}, False),
        ({"email": "ana@sub.example.com"}, False),
        ({"email": "example.com"}, False),
        ({"email": "@example.com"}, False),
        ({"email": 7, "email_domain": "example.com"}, False),
        ({"email_domain": "Example.com"}, True),
        ({"email": "ana@other.com", "email_domain": "example.com"}, False),
        ({}, False),
    ],
)
def test_the_domain_is_taken_from_the_email(context: Any, inside: bool) -> None:
    assert parse_conditions({"email_domain": "Example.com"}).matches(context) is inside
