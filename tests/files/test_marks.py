"""YAML becomes data that knows its lines; what would confuse or exhaust a reader is refused."""

# ruff: noqa: E501  (what people see is quoted whole)

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from core.files.syntax.problems import UnreadableFile, render_text
from core.files.syntax.yaml_with_lines import MAX_ALIASES, MAX_BYTES, parse_yaml

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8).filter("<<".__ne__), inner, max_size=3)
    ),
    max_leaves=12,
)


def said(text):
    with pytest.raises(UnreadableFile) as refusal:
        parse_yaml(text, "f.yaml")
    return str(refusal.value)


def test_every_value_and_key_knows_its_place():
    source = parse_yaml("a: 1\nb:\n  - {c: 2}\n  - d\n", "f.yaml")
    assert source.data == {"a": 1, "b": [{"c": 2}, "d"]}
    assert [(s.line, s.column) for s in (source.find_spot(("b", 0, "c")), source.find_spot(("b", 1)))] == [
        (3, 9),
        (4, 5),
    ]
    assert source.find_spot(("b", 0, "c"), at_key=True).column == 6
    assert source.find_spot(("b", 0, "missing", "deeper")) == source.find_spot(("b", 0))


@given(json_values)
def test_json_reads_as_what_it_is(value):
    for text in (json.dumps({"value": value}), json.dumps({"value": value}, indent="\t")):
        assert parse_yaml(text, "f.json").data == {"value": value}


@given(st.text(max_size=200))
def test_any_text_is_data_or_a_refusal_with_a_line(text):
    problems = ()
    try:
        parse_yaml(text, "f.yaml")
    except UnreadableFile as refusal:
        problems = refusal.problems
    assert all(p.line >= 1 and p.column >= 1 for p in problems)
    assert not problems or render_text(problems).endswith(("problem", "problems"))


def test_dates_and_hours_stay_what_was_written():
    assert parse_yaml("a: 2027-02-15\nb: 20:00\nc: 0.2\nd: true", "f").data == {
        "a": "2027-02-15",
        "b": "20:00",
        "c": 0.2,
        "d": True,
    }


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("NO", "false in YAML"),
        ("no", "false in YAML"),
        ("off", "false in YAML"),
        ("Yes", "true in YAML"),
        ("on", "true in YAML"),
        ("010", "the number 8 in YAML"),
        ("-0150", "the number -104 in YAML"),
        ("0x1F", "the number 31 in YAML"),
        ("0b11", "the number 3 in YAML"),
        ("1_000", "the number 1000 in YAML"),
        ("1_000.5", "the number 1000.5 in YAML"),
    ],
)
def test_what_yaml_would_change_without_a_word_is_refused_at_its_place(written, meant):
    for text, place in ((f"a: {written}\n", "f:1:4"), (f"where: {{country: [SE, {written}]}}\n", "f:1:23")):
        with pytest.raises(UnreadableFile) as refused:
            parse_yaml(text, "f")
        assert render_text(refused.value.problems).startswith(place)
        assert f'"{written}" is {meant}: write that, or "{written}", in quotes' in render_text(refused.value.problems)
    assert parse_yaml(f'a: "{written}"\n', "f").data == {"a": written}


@pytest.mark.parametrize(
    "written", ["true", "False", "0", "10", "-7", "+7", "0.50", "1e-7", "20:00", "2027-01-04", "~"]
)
def test_what_means_the_same_everywhere_is_read(written):
    parse_yaml(f"a: {written}\n", "f")


def test_layout_comments_and_order_do_not_change_the_fingerprint():
    first = parse_yaml("a: 1\nb: {c: [x, y]}", "f").fingerprint
    assert parse_yaml('# hello\nb:\n  c:\n  - x\n  - "y"\na: 1\n', "g").fingerprint == first
    assert parse_yaml("a: 1\nb: {c: [y, x]}", "f").fingerprint != first


def test_a_key_written_twice_is_refused_wherever_it_is():
    assert said("a: 1\nb: {c: 1, c: 2}\na: 3\n") == snapshot("""\
f.yaml:2:11: b.c: "c" is written twice; the first is on line 2
    b: {c: 1, c: 2}
              ^
f.yaml:3:1: a: "a" is written twice; the first is on line 1
    a: 3
    ^
f.yaml 2 problems\
""")


def test_what_is_not_yaml_is_shown_where_it_breaks():
    assert said("a: [1, 2\nb: 3\n") == snapshot("""\
f.yaml:2:2: not valid YAML: while parsing a flow sequence expected ',' or ']', but got ':'
    b: 3
     ^
f.yaml 1 problem\
""")
    assert said("a:\n\t- b\n") == snapshot("""\
f.yaml:2:1: not valid YAML: while scanning for the next token found character '\\t' that cannot start any token: indent with spaces, not tabs
     - b
    ^
f.yaml 1 problem\
""")
    assert said("a: b: c") == snapshot("""\
f.yaml:1:5: not valid YAML: mapping values are not allowed here
    a: b: c
        ^
f.yaml 1 problem\
""")
    assert said("a: 1\n---\nb: 2\n") == snapshot("""\
f.yaml:2:1: not valid YAML: expected a single document in the stream but found another document
    ---
    ^
f.yaml 1 problem\
""")
    assert said("a: \x00") == snapshot("""\
f.yaml:1:4: not valid YAML: the character U+0000 is not allowed
f.yaml 1 problem\
""")
    assert said("") == snapshot("""\
f.yaml:1:1: the file is empty
f.yaml 1 problem\
""")
    assert said("a: *nowhere") == snapshot("""\
f.yaml:1:4: not valid YAML: found undefined alias 'nowhere'
    a: *nowhere
       ^
f.yaml 1 problem\
""")


def test_tags_and_merge_keys_are_refused():
    assert said(
        "a: !!python/object/apply:os.system [ls]\nb: !!binary aGk=\nc: !!set {x}\nd: {<<: {e: 1}}\n"
    ) == snapshot("""\
f.yaml:1:4: a: the tag "python/object/apply:os.system" is not allowed: write plain values
    a: !!python/object/apply:os.system [ls]
       ^
f.yaml:2:4: b: the tag "binary" is not allowed: write plain values
    b: !!binary aGk=
       ^
f.yaml:3:4: c: the tag "set" is not allowed: write plain values
    c: !!set {x}
       ^
f.yaml:4:5: d.<<: merge keys (<<) are not allowed: write the fields out
    d: {<<: {e: 1}}
        ^
f.yaml 4 problems\
""")


def test_numbers_that_are_none_are_refused():
    assert said("a: .nan\nb: -.inf\nc: 0b_\nd: !!int five\n") == snapshot("""\
f.yaml:1:4: a: a number must be finite
    a: .nan
       ^
f.yaml:2:4: b: a number must be finite
    b: -.inf
       ^
f.yaml:3:4: c: "0b_" cannot be read as int
    c: 0b_
       ^
f.yaml:4:4: d: "five" cannot be read as int
    d: !!int five
       ^
f.yaml 4 problems\
""")


def test_a_billion_laughs_are_refused_without_unfolding_them():
    lines = ["l0: &l0 [" + ", ".join(["lol"] * 9) + "]"]
    lines += [f"l{n}: &l{n} [" + ", ".join([f"*l{n - 1}"] * 5) + "]" for n in range(1, 10)]
    tracemalloc.start()
    message = said("\n".join(lines))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "values once aliases are followed" in message
    assert peak < 50_000_000


def test_an_alias_may_not_hold_itself():
    assert "an alias contains itself" in said("a: &a {b: *a}")


def test_more_aliases_than_a_file_needs_are_refused():
    assert f"more than {MAX_ALIASES} aliases" in said("a: &a 1\nb: [" + "*a, " * (MAX_ALIASES + 1) + "]")


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, '{"a":[' * 30_000])
def test_nesting_without_end_is_refused(text):
    assert "nested deeper than 30 levels" in said(text)


def test_a_file_of_10_mb_is_refused_before_it_is_read():
    assert said("a: b\n" * 2_000_000) == snapshot("""\
f.yaml:1:1: the file is larger than 256 KB; a rollout, surface or policy file is a page or two
f.yaml 1 problem\
""")
    assert said("é" * (MAX_BYTES // 2 + 1)) == said("a" * (MAX_BYTES + 1))


def test_a_long_line_is_shown_around_the_place():
    text = "a: [" + "x, " * 500 + "b: c: d]"
    shown = said(text).splitlines()
    assert len(shown[1]) < 170
    assert shown[1][shown[2].index("^")] == text[int(shown[0].split(":")[2]) - 1]
