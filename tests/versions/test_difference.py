"""The difference between two versions: words of prompts, fields of the rest, and nothing of a prompt in a channel."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rendering.sentences import difference_words
from core.versions.content_difference import FieldChange, compare_contents
from core.versions.word_difference import PieceKind, compare_words

OLD = "You are the support assistant.\nGreet the customer, then explain the cause.\nRefunds go to a person.\n"
NEW = "You are the support assistant.\nStart with the fix, then explain the cause.\nRefunds go to a person.\n"
TEXTS = st.text(alphabet=st.sampled_from("ab c\n.,é漢字\u00a0"), max_size=80) | st.text(max_size=60)


def _marked(before: str, after: str) -> str:
    marks = {PieceKind.KEPT: "{}", PieceKind.REMOVED: "[-{}-]", PieceKind.ADDED: "{{+{}+}}"}
    return "".join(marks[piece.kind].format(piece.text) for piece in compare_words(before, after))


def test_the_words_that_differ_are_marked_and_the_rest_is_kept():
    expected = OLD.replace("Greet the customer", "[-Greet -]{+Start with +}the [-customer-]{+fix+}")
    assert _marked(OLD, NEW) == expected


def test_languages_without_spaces_are_compared_character_by_character():
    assert _marked("返金は人が対応", "返品は人が対応") == "返[-金-]{+品+}は人が対応"


@given(before=TEXTS, after=TEXTS)
def test_the_pieces_are_the_old_text_and_the_new_text_in_order(before: str, after: str):
    pieces = compare_words(before, after)
    assert "".join(p.text for p in pieces if p.kind is not PieceKind.ADDED) == before
    assert "".join(p.text for p in pieces if p.kind is not PieceKind.REMOVED) == after
    assert all(p.text for p in pieces)
    assert all(one.kind is not other.kind for one, other in itertools.pairwise(pieces))


def test_a_passage_with_too_many_equal_words_counts_as_replaced_as_a_whole():
    pieces = compare_words("start " + "the a " * 2000 + "end", "start " + "a the b " * 2000 + "end")
    assert [p.kind for p in pieces] == [PieceKind.KEPT, PieceKind.REMOVED, PieceKind.ADDED, PieceKind.KEPT]


@pytest.mark.shows("E71")
def test_fields_are_compared_by_their_path():
    before = {"model": {"name": "large-3", "snapshot": "2026-03-01"}, "params": {"temperature": 0.2, "stop": ["END"]}}
    after = {"model": {"name": "large-4", "snapshot": "2026-03-01"}, "params": {"temperature": 0.2, "top_p": None}}
    assert compare_contents(before, after).fields == (
        FieldChange(path="model.name", before="large-3", after="large-4"),
        FieldChange(path="params.stop.END", before="END", after=None),
        FieldChange(path="params.top_p", before=None, after="null"),
    )


def test_tools_are_matched_by_name_wherever_they_stand():
    before = {"tools": ["lookup", "search", {"name": "refund", "limit": 5}]}
    after = {"tools": [{"name": "refund", "limit": 50}, "search", "cancel"]}
    assert compare_contents(before, after).fields == (
        FieldChange(path="tools.lookup", before="lookup", after=None),
        FieldChange(path="tools.refund.limit", before="5", after="50"),
        FieldChange(path="tools.cancel", before=None, after="cancel"),
        FieldChange(path="tools (order)", before="search, refund", after="refund, search"),
    )


def test_a_message_put_into_a_prompt_leaves_the_other_messages_alone():
    system, user = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there."}
    difference = compare_contents({"prompt": [system, user]}, {"prompt": [system, {**system, "content": "x"}, user]})
    assert [change.path for change in difference.texts] == ["prompt[2].content"]
    assert [(f.path, f.before, f.after) for f in difference.fields] == [("prompt[2].role", None, "system")]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"prompt": OLD}, {"prompt": NEW}, "prompt: 2 of 17 words removed, 3 added"),
        ({}, {"prompt": "Be brief."}, "prompt: 2 words added"),
        ({"prompt": "Be brief."}, {"prompt": "Be brief!"}, "prompt: punctuation or spacing differs"),
        ({"model": {"name": "a"}}, {"model": {"name": "b"}}, "model.name a -> b"),
        ({"tools": ["x"]}, {"tools": ["x", "y"]}, "tools.y added"),
        ({"params": {"t": 1}}, {}, "params.t removed"),
        ({"params": {"prefix": "Be nice"}}, {"params": {"prefix": "Be brief"}}, "params.prefix changed"),
        ({"prompt": "Be nice"}, {"prompt": "p.md@sha256:9f2c51e0"}, "prompt changed"),
        (
            {"prompt": "p.md@sha256:11aa90c4"},
            {"prompt": "p.md@sha256:9f2c51e0"},
            "prompt p.md@sha256:11aa90c4 -> p.md@sha256:9f2c51e0",
        ),
        ({"model": "a"}, {"model": "a"}, "nothing"),
    ],
)
def test_a_difference_in_one_line(before: Any, after: Any, said: str):
    assert difference_words.format_in_line(compare_contents(before, after)) == said


SECRETS = st.text(alphabet=st.sampled_from("abcdefgh"), min_size=4, max_size=12).map(lambda word: f"Zq{word}")
PROMPTS = st.recursive(
    st.lists(SECRETS, min_size=1, max_size=12).map(" ".join),
    lambda inner: st.lists(st.fixed_dictionaries({"role": SECRETS, "content": inner}), min_size=1, max_size=3),
    max_leaves=4,
)


@given(before=PROMPTS | st.none(), after=PROMPTS | st.none())
def test_no_text_of_a_prompt_is_in_the_line_that_a_channel_sees(before: Any, after: Any):
    contents = [{} if prompt is None else {"prompt": prompt} for prompt in (before, after)]
    assert "Zq" not in difference_words.format_in_line(compare_contents(*contents))


@pytest.mark.parametrize("text", ["返金については必ず担当者に確認してください", "x" * 500])
def test_text_in_a_parameter_is_kept_from_channels_even_without_spaces(text: str):
    for before in ({"params": {"system": "短い"}}, {"params": {}}, {}):
        said = difference_words.format_in_line(compare_contents(before, {"params": {"system": text}}))
        assert text[:8] not in said


def test_a_rewrite_is_told_from_an_edit():
    (edit,) = compare_contents({"prompt": OLD}, {"prompt": NEW}).texts
    (rewrite,) = compare_contents({"prompt": OLD}, {"prompt": "Answer in one line, always."}).texts
    assert edit.rewritten_share < 0.2
    assert rewrite.rewritten_share > 0.9
