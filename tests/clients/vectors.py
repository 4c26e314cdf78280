"""The vectors that every client is tested with. `python -m tests.clients.vectors` writes them, as Rampart evaluates."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.flags import snapshot as flags
from core.flags.bucketing import compute_bucket, make_digester, percent_to_ppm
from core.flags.document import encode_surface
from core.flags.evaluation import choose_answer
from core.flags.layers import LayerShare, build_layer_share
from core.flags.targeting import CohortConditions, parse_conditions

PATH = Path(__file__).parents[2] / "clients" / "vectors.json"
SURFACE = "support-assistant"
LIVE = flags.Version("v42", {"prompt": "Be helpful."})
NEW = flags.Version("v43", {"prompt": "Fix first. ☃", "tools": ["search"], "temperature": 0.2})

PLACES = (
    ("expose", "R-1", "user-1"),
    ("expose", "R-1", "user-46"),
    ("expose", "R-2", "user-1"),
    ("control", "R-1", "user-1"),
    ("layer", "search", "Zoë ☃"),
    ("holdout", "", ""),
    ("expose", "R-1", "😀"),
    *(("expose", f"R-{number}", f"conversation/{number * 7919}") for number in range(40)),
)
UNITS: tuple[str | None, ...] = (
    *(f"user-{number}" for number in range(60)),
    "Zoë ☃",
    "😀" * 512,
    "😀" * 513,
    "x" * 512,
    "x" * 513,
    "nul\x00",
    "\ud800 alone",
    "",
    None,
)
CONTEXTS: tuple[dict[str, Any], ...] = (
    {},
    {"email": "ana@example.com"},
    {"email": "  Ana@EXAMPLE.com "},
    {"email": "a@b@example.com"},
    {"email": "\x1cana@example.com\x85"},
    {"email": "ana@example.com\ufeff"},
    {"email": "@example.com"},
    {"email": "ana@"},
    {"email": "nobody", "email_domain": "example.com"},
    {"email": None, "email_domain": "Example.COM"},
    {"email": 7, "email_domain": "example.com"},
    {"email_domain": ["example.com"]},
    {"plan": "staff"},
    {"plan": ["staff"]},
    {"plan": None},
    {"plan": {"name": "staff"}},
    {"beta": True},
    {"beta": "true"},
    {"beta": False},
    {"seats": 5},
    {"seats": 5.0},
    {"seats": "5"},
    {"seats": 0.5},
    {"seats": 0.1234567},
    {"seats": 1e-7},
    {"seats": 2.5e10 + 0.5},
    {"seats": 1234567},
    {"seats": -0.00001234},
    {"seats": True},
)


def _build_cohort(name: str, percent: float, **where: str | tuple[str, ...]) -> flags.Cohort:
    return flags.Cohort(name=name, where=parse_conditions(where), ppm=percent_to_ppm(percent))


def _build_surface(
    canary: int,
    *,
    matched: bool = False,
    cohort: flags.Cohort | None = None,
    past: tuple[flags.Cohort, ...] = (),
    moved_back: tuple[str, ...] = (),
    layer: LayerShare | None = None,
) -> flags.SurfaceFlags:
    exposure = flags.build_exposure(
        rollout="R-1",
        live_version=LIVE,
        to_version=NEW,
        stage="stage",
        stage_index=len(past),
        canary=canary,
        matched=matched,
        cohort=cohort,
        past_cohorts=past,
        moved_back=[make_digester("expose", "R-1")(unit) for unit in moved_back],
        layer=layer,
    )
    return flags.SurfaceFlags(
        name=SURFACE,
        live=flags.build_live_answer(LIVE),
        versions=frozenset({"v42", "v43"}),
        exposure=exposure,
    )


def _build_finishing(
    surface: flags.SurfaceFlags,
    *,
    shares: tuple[flags.ServedShare, ...] | None,
    moved_back: tuple[str, ...] = (),
    taken_back: tuple[CohortConditions, ...] = (),
    layer: LayerShare | None = None,
) -> flags.SurfaceFlags:
    """The surface with conversations that finish on v42, which everybody had, and on v43, which some were served."""
    token = "R-1.0.stable" if surface.exposure is not None else ""
    served = (
        flags.ServedUnits(
            rollout="R-1",
            shares=shares or (),
            moved_back=frozenset(make_digester("expose", "R-1")(unit) for unit in moved_back),
            taken_back=taken_back,
            digest=make_digester("expose", "R-1"),
            layer=layer,
        ),
    )
    finishing = {
        version.name: flags.FinishingVersion(
            answer=flags.FlagAnswer(
                version=version,
                variant=flags.Variant.STABLE,
                reason=flags.Reason.TARGETING_MATCH,
                rollout="R-1" if token else "",
                exposure=token,
            ),
            served_to=None if version is LIVE or shares is None else served,
        )
        for version in (LIVE, NEW)
    }
    return replace(surface, finishing=finishing)


INTERNAL = _build_cohort("internal", 50, email_domain="example.com")
STAFF = _build_cohort("staff", 100, plan="staff", beta=("true", "yes"))
SEATS = _build_cohort("seats", 30, seats=("5", "0.5", "0.123457", "1e-07", "2.5e+10", "1234567", "-1.234e-05", "true"))
BETA = _build_cohort("beta", 100, beta="true")
PLACE = compute_bucket("expose", "R-1", "user-1")
SLOT = compute_bucket("layer", "chat", "user-1")
HALF = build_layer_share("chat", ((0, 500_000),))

SURFACES: dict[str, flags.SurfaceFlags] = {
    "no rollout": flags.SurfaceFlags(name=SURFACE, live=flags.build_live_answer(LIVE), versions=frozenset({"v42"})),
    "nobody": _build_surface(0),
    "one in a million": _build_surface(1),
    "user-1 is the first that is out": _build_surface(PLACE),
    "user-1 is the last that is in": _build_surface(PLACE + 1),
    "a canary of 5 %": _build_surface(50_000),
    "a canary of 5 %, matched": _build_surface(50_000, matched=True),
    "half, matched": _build_surface(500_000, matched=True),
    "most, matched": _build_surface(500_001, matched=True),
    "everybody": _build_surface(1_000_000),
    "a cohort": _build_surface(INTERNAL.ppm, cohort=INTERNAL),
    "a cohort by numbers": _build_surface(SEATS.ppm, cohort=SEATS),
    "a canary after two cohorts": _build_surface(50_000, past=(INTERNAL, BETA)),
    "a ramp after a cohort": _build_surface(750_000, past=(INTERNAL,)),
    "a canary that some were moved out of": _build_surface(500_000, past=(INTERNAL,), moved_back=("user-46", "Zoë ☃")),
    "a ramp after a cohort that was rolled back alone": _build_surface(
        750_000, past=(replace(INTERNAL, is_back=True), BETA)
    ),
    "a cohort that was rolled back alone in its stage": _build_surface(
        INTERNAL.ppm, cohort=INTERNAL, past=(replace(INTERNAL, is_back=True),)
    ),
    "a cohort after a cohort": _build_surface(STAFF.ppm, cohort=STAFF, past=(INTERNAL,)),
    "conversations that finish during a canary": _build_finishing(
        _build_surface(50_000), shares=(flags.ServedShare(where=None, below=50_000),)
    ),
    "conversations that finish, and somebody who was moved back": _build_finishing(
        _build_surface(1_000_000, moved_back=("user-46",)), shares=(flags.ServedShare(where=None, below=1_000_000),)
    ),
    "conversations that finish after a rollback": _build_finishing(
        flags.SurfaceFlags(name=SURFACE, live=flags.build_live_answer(LIVE), versions=frozenset({"v42", "v43"})),
        shares=(
            flags.ServedShare(where=None, below=PLACE),
            flags.ServedShare(where=INTERNAL.where, below=PLACE + 1),
        ),
        moved_back=("user-46",),
    ),
    "conversations that finish, and a cohort that was rolled back alone": _build_finishing(
        _build_surface(1_000_000, past=(replace(INTERNAL, is_back=True),)),
        shares=(flags.ServedShare(where=None, below=1_000_000),),
        taken_back=(INTERNAL.where,),
    ),
    "everybody in half of a layer": _build_surface(1_000_000, layer=HALF),
    "a canary of 50 % in the other half of a layer": _build_surface(
        500_000, layer=build_layer_share("chat", ((500_000, 1_000_000),))
    ),
    "a layer of which user-1 is the last": _build_surface(1_000_000, layer=build_layer_share("chat", ((0, SLOT + 1),))),
    "a layer of which user-1 is the first that is out": _build_surface(
        1_000_000, layer=build_layer_share("chat", ((0, SLOT),))
    ),
    "a layer of two ranges, the second from user-1 on": _build_surface(
        1_000_000, layer=build_layer_share("chat", ((0, 100_000), (SLOT, SLOT + 200_000)))
    ),
    "a cohort in a layer, and a unit that was moved back": _build_surface(
        500_000, past=(INTERNAL,), moved_back=("user-46",), layer=HALF
    ),
    "a cohort's stage in a layer": _build_surface(STAFF.ppm, cohort=STAFF, past=(INTERNAL,), layer=HALF),
    "conversations that finish in a layer": _build_finishing(
        _build_surface(1_000_000, layer=HALF), shares=(flags.ServedShare(where=None, below=1_000_000),), layer=HALF
    ),
    "conversations that finish in a layer after a rollback": _build_finishing(
        flags.SurfaceFlags(name=SURFACE, live=flags.build_live_answer(LIVE), versions=frozenset({"v42", "v43"})),
        shares=(flags.ServedShare(where=None, below=1_000_000),),
        layer=HALF,
    ),
    "conversations that finish after everybody had it": _build_finishing(
        flags.SurfaceFlags(name=SURFACE, live=flags.build_live_answer(LIVE), versions=frozenset({"v42", "v43"})),
        shares=None,
    ),
}
STRATA_CONTEXTS: tuple[dict[str, Any], ...] = tuple(
    {"stratum": sent, **more}
    for sent in (
        *(
            "R-1",
            "R-1/internal",
            "R-1/beta",
            "R-1/staff",
            "R-1/none",
            "R-2/internal",
            "R-1/",
            "internal",
            "constructor",
        ),
        *(["R-9", "R-1/internal"], ["R-2"], [], None, 7, True, {"R-1": "internal"}),
    )
    for more in ({}, {"beta": True}, {"email": "ana@example.com"})
)
CONVERSATIONS: tuple[Any, ...] = (
    "support-assistant@v42",
    "support-assistant@v43",
    "support-assistant@v43/R-1.0.canary",
    "support-assistant@v42/R-1.0.control",
    "support-assistant@v43/R-9.9.canary",
    "support-assistant@v44",
    "support-assistant@",
    "support-assistant@constructor",
    "search@v43",
    "v43",
    ["search@v1", "support-assistant@v43"],
    [None, 7],
    {"support-assistant": "v43"},
    43,
    None,
)


def build_vectors() -> dict[str, Any]:
    """Places, and for each document what units get: the answer as an index into the document's answers."""
    return {
        "places": [
            {"purpose": purpose, "salt": salt, "unit": unit, "place": compute_bucket(purpose, salt, unit)}  # type: ignore[arg-type]
            for purpose, salt, unit in PLACES
        ],
        "evaluations": [
            {
                "title": title,
                "document": {"format": 1, "surfaces": {SURFACE: json.loads(encode_surface(surface))}},
                "cases": [_build_case(surface, unit, context) for unit, context in _list_questions(surface)],
            }
            for title, surface in SURFACES.items()
        ],
    }


def _list_questions(surface: flags.SurfaceFlags) -> list[tuple[str | None, dict[str, Any]]]:
    """Every unit once; where there are cohorts, every context with two units."""
    units: list[tuple[str | None, dict[str, Any]]] = [(unit, {}) for unit in UNITS]
    exposure = surface.exposure
    if surface.finishing:
        return units + [
            (unit, {"conversation": sent, **context})
            for sent in CONVERSATIONS
            for unit in ("user-46", "user-1", "user-2", "nul\x00", "\ud800 alone", None)
            for context in ({}, {"email": "ana@example.com"}, {"stratum": "R-1/internal"})
        ]
    if exposure is None or not (exposure.cohort or exposure.earlier_cohorts):
        return units
    return units + [
        (unit, context) for context in (*CONTEXTS[1:], *STRATA_CONTEXTS) for unit in ("user-46", "user-1", "user-2")
    ]


def _build_case(surface: flags.SurfaceFlags, unit: str | None, context: dict[str, Any]) -> dict[str, Any]:
    answer = choose_answer(surface, unit, context)
    return {
        "unit": unit,
        "context": context,
        "version": answer.version.name,
        "variant": answer.variant.value,
        "reason": answer.reason.value,
        "cohort": answer.cohort,
        "exposure": answer.exposure,
    }


def format_vectors() -> str:
    """The file, one case a line."""
    vectors = build_vectors()
    lines = ['{"places": [', ",\n".join(json.dumps(place) for place in vectors["places"]), '], "evaluations": [']
    blocks = []
    for one in vectors["evaluations"]:
        head = f'{{"title": {json.dumps(one["title"])}, "document": {json.dumps(one["document"])}, "cases": [\n'
        blocks.append(head + ",\n".join(json.dumps(case) for case in one["cases"]) + "\n]}")
    return "\n".join([*lines, ",\n".join(blocks), "]}"]) + "\n"


if __name__ == "__main__":
    PATH.write_text(format_vectors(), encoding="utf-8")
