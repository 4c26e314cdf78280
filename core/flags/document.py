"""The snapshot as a JSON document, from which clients evaluate in their own process by the same rules."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from core.flags.layers import LayerShare
from core.flags.snapshot import (
    Exposure,
    FinishingVersion,
    FlagAnswer,
    ServedUnits,
    Snapshot,
    SurfaceFlags,
    Version,
)
from core.flags.targeting import CohortConditions

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotDocument:
    """The encoded snapshot. `etag` is a hash of `body`, so it stays the same while no answer can change."""

    body: bytes
    etag: str


class DocumentEncoder:
    """Encodes snapshots, and reuses the text of surfaces that have not changed; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: dict[str, tuple[SurfaceFlags, bytes]] = {}
        self._newest: tuple[Mapping[str, SurfaceFlags], SnapshotDocument] | None = None

    def encode(self, snapshot: Snapshot) -> SnapshotDocument:
        """The document of `snapshot`; the position of the log is not part of it."""
        with self._lock:
            if self._newest is not None and self._newest[0] is snapshot.surfaces:
                return self._newest[1]
            self._texts = {name: (flags, self._encode_surface(flags)) for name, flags in snapshot.surfaces.items()}
            surfaces = b",".join(_dump_json(name) + b":" + text for name, (_, text) in sorted(self._texts.items()))
            body = b'{"format":%d,"surfaces":{%b}}' % (FORMAT, surfaces)
            document = SnapshotDocument(body=body, etag=blake2b(body, digest_size=16).hexdigest())
            self._newest = (snapshot.surfaces, document)
            return document

    def _encode_surface(self, flags: SurfaceFlags) -> bytes:
        known = self._texts.get(flags.name)
        return known[1] if known is not None and known[0] is flags else encode_surface(flags)


def encode_surface(flags: SurfaceFlags) -> bytes:
    """One surface: its versions, every possible answer, and the rule that chooses between them by index."""
    answers: dict[FlagAnswer, int] = {}

    def refer(answer: FlagAnswer) -> int:
        return answers.setdefault(answer, len(answers))

    live = refer(flags.live)
    exposure = _describe_exposure(flags.exposure, refer) if flags.exposure is not None else None
    finishing = {name: _describe_finishing(one, refer) for name, one in flags.finishing.items()}
    versions: dict[str, Version] = {answer.version.name: answer.version for answer in answers}
    # A client that knows no layers reads `exposure` alone, and serves everybody the live version.
    layered = exposure is not None and "layer" in exposure
    contents = b",".join(_dump_json(name) + b":" + version.json for name, version in versions.items())
    return b'{"versions":{%b},"answers":%b,"live":%d,"exposure":%b%b%b}' % (
        contents,
        _dump_json([_describe_answer(answer) for answer in answers]),
        live,
        _dump_json(None if layered else exposure),
        b',"layered":%b' % _dump_json(exposure) if layered else b"",
        b',"finishing":%b' % _dump_json(finishing) if finishing else b"",
    )


def _describe_answer(answer: FlagAnswer) -> dict[str, str]:
    return {
        "version": answer.version.name,
        "variant": answer.variant.value,
        "reason": answer.reason.value,
        "rollout": answer.rollout,
        "cohort": answer.cohort,
        "stage": answer.stage,
        "exposure": answer.exposure,
    }


def _describe_exposure(exposure: Exposure, refer: Any) -> dict[str, Any]:
    return {
        "salt": exposure.rollout,
        "canary_below": exposure.canary_below,
        "control_from": exposure.control_from,
        "canary": refer(exposure.canary),
        "control": refer(exposure.control),
        "stable": refer(exposure.stable),
        "outside": refer(exposure.outside),
        "cohort": _describe_conditions(exposure.cohort.where) if exposure.cohort is not None else None,
        "earlier_cohorts": [
            {
                "where": _describe_conditions(earlier.cohort.where),
                "below": earlier.below,
                "new": refer(earlier.new),
                "live": refer(earlier.live),
            }
            for earlier in exposure.earlier_cohorts
        ],
        "moved": refer(exposure.moved),
        "moved_back": [f"{digest:016x}" for digest in sorted(exposure.moved_back)],
        **({} if exposure.layer is None else {"layer": _describe_layer(exposure.layer)}),
    }


def _describe_layer(share: LayerShare) -> dict[str, Any]:
    return {"name": share.layer, "slots": [list(one) for one in share.ranges]}


def _describe_finishing(finishing: FinishingVersion, refer: Any) -> dict[str, Any]:
    served = finishing.served_to
    return {
        "answer": refer(finishing.answer),
        "served_to": None if served is None else [_describe_served(one) for one in served],
    }


def _describe_served(served: ServedUnits) -> dict[str, Any]:
    shares = [
        {"where": _describe_conditions(share.where) if share.where is not None else None, "below": share.below}
        for share in served.shares
    ]
    return {
        "salt": served.rollout,
        "shares": shares if served.layer is None else [],
        **({"layered_shares": shares, "layer": _describe_layer(served.layer)} if served.layer is not None else {}),
        "moved_back": [f"{digest:016x}" for digest in sorted(served.moved_back)],
        "taken_back": [_describe_conditions(where) for where in served.taken_back],
    }


def _describe_conditions(where: CohortConditions) -> list[list[Any]]:
    """Pairs of an attribute and its allowed values."""
    return [[attribute, sorted(allowed)] for attribute, allowed in where.conditions]


def _dump_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
