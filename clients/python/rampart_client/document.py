"""From the snapshot document to one compiled rule for each surface."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

from rampart_client.bucketing import MAX_UNIT_LENGTH, build_prefix, find_threshold
from rampart_client.conversations import Choice, compile_finishing
from rampart_client.evaluation import Evaluation
from rampart_client.layers import compile_layer
from rampart_client.targeting import ContextTest, compile_conditions

FORMAT = 1


_Sticky: TypeAlias = tuple[bytes, Evaluation, Evaluation] | tuple[()]


class UnreadableDocument(Exception):
    """The document is damaged, or of a newer format than this client reads."""


@dataclass(frozen=True, slots=True)
class SurfaceRule:
    """One surface: everybody's answer while the client is out of touch, and the choice otherwise."""

    live: Evaluation
    choose: Choice


def compile_document(body: bytes) -> dict[str, SurfaceRule]:
    """The rule of each surface, by name. Raises UnreadableDocument."""
    try:
        document = json.loads(body)
        if document["format"] != FORMAT:
            raise UnreadableDocument(
                f"The snapshot has format {document['format']}, and this client reads {FORMAT}: upgrade rampart-client."
            )
        return {name: _compile_surface(name, surface) for name, surface in document["surfaces"].items()}
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UnreadableDocument(f"The snapshot cannot be read: {error!r}.") from error


def _compile_surface(name: str, surface: Mapping[str, Any]) -> SurfaceRule:
    answers = [
        Evaluation(surface=name, value=surface["versions"][answer["version"]], **answer)
        for answer in surface["answers"]
    ]
    live = answers[surface["live"]]
    exposure = surface.get("layered", surface["exposure"])
    choose: Choice = (lambda unit, context: live) if exposure is None else _compile_choice(exposure, answers, live)
    finishing = surface.get("finishing")
    final = _list_final(exposure, answers) if exposure is not None else frozenset()
    return SurfaceRule(live, compile_finishing(name, finishing, answers, choose, final) if finishing else choose)


def _compile_choice(exposure: Mapping[str, Any], answers: list[Evaluation], live: Evaluation) -> Choice:
    """The choice as one function whose every part is a local variable: each evaluation runs through it."""
    prefix = build_prefix("expose", exposure["salt"])
    canary_below = find_threshold(exposure["canary_below"])
    control_from = find_threshold(exposure["control_from"])
    canary: Evaluation = answers[exposure["canary"]]
    control: Evaluation = answers[exposure["control"]]
    stable: Evaluation = answers[exposure["stable"]]
    outside: Evaluation = answers[exposure["outside"]]
    is_in_layer = compile_layer(exposure.get("layer"))
    is_in_cohort = compile_conditions(exposure["cohort"]) if exposure["cohort"] is not None else None
    moved: Evaluation = answers[exposure["moved"]]
    moved_back = frozenset(bytes.fromhex(number) for number in exposure["moved_back"])
    earlier: list[tuple[ContextTest, bytes, Evaluation, Evaluation]] = [
        (
            compile_conditions(cohort["where"]),
            find_threshold(cohort["below"]),
            answers[cohort["new"]],
            answers[cohort["live"]],
        )
        for cohort in exposure["earlier_cohorts"]
    ]

    strata = _list_strata(exposure, answers, earlier)

    def choose(unit: str | None, context: Mapping[str, Any]) -> Evaluation:
        if not unit or len(unit) > MAX_UNIT_LENGTH or "\x00" in unit:
            return live
        try:
            digest = sha256(prefix + unit.encode()).digest()
        except UnicodeEncodeError:
            return live
        if moved_back and digest[:8] in moved_back:
            return moved
        if is_in_layer is not None and not is_in_layer(unit):
            return outside
        if strata and "stratum" in context and (found := _find_stratum(strata, context["stratum"])) is not None:
            if not found:
                return canary if digest < canary_below else control if digest >= control_from else stable
            below, new, kept = found
            return new if digest < below else kept
        for is_member, below, new, kept in earlier:
            if is_member(context):
                return new if digest < below else kept
        if is_in_cohort is not None and not is_in_cohort(context):
            return outside
        if digest < canary_below:
            return canary
        return control if digest >= control_from else stable

    return choose


def _list_final(exposure: Mapping[str, Any], answers: list[Evaluation]) -> frozenset[Evaluation]:
    """The answers that hold in every conversation: of who was moved back, and of cohorts that were rolled back."""
    back = [cohort["live"] for cohort in exposure["earlier_cohorts"] if cohort["below"] == 0]
    return frozenset(answers[index] for index in (exposure["moved"], *back))


def _list_strata(
    exposure: Mapping[str, Any],
    answers: list[Evaluation],
    earlier: list[tuple[ContextTest, bytes, Evaluation, Evaluation]],
) -> dict[str, _Sticky]:
    """What applications send back of an earlier evaluation -> its cohort; an empty one for the arms of the stage."""
    if not earlier and exposure["cohort"] is None:
        return {}
    salt, name = exposure["salt"], answers[exposure["canary"]].cohort
    own = f"{salt}/{name}" if exposure["cohort"] is not None else salt
    return {own: (), **{kept.stratum: (below, new, kept) for _, below, new, kept in earlier}}


def _find_stratum(strata: Mapping[str, _Sticky], sent: object) -> _Sticky | None:
    for one in sent if isinstance(sent, list | tuple) else (sent,):
        if isinstance(one, str) and one in strata:
            return strata[one]
    return None
