"""The evidence of a rollback as one ZIP file: checklist, measures, segments, trends, charts and history."""

import json
import zipfile
from collections.abc import Iterable, Sequence
from io import BytesIO
from zoneinfo import ZoneInfo

from bot.rendering import csv_text, markup, wording
from bot.rendering.charts import svg
from bot.rendering.documents import history_file
from bot.rendering.json.evidence import measure_to_json
from bot.rendering.json.rollouts import rollout_to_json
from bot.rendering.markup import FindHandles
from bot.rendering.messages.alerts import investigation
from bot.rendering.numbers import measure_rows
from core.judging.model.verdict import Measure
from core.reviews.investigation import Investigation


def name_bundle(found: Investigation) -> str:
    """The file name: `evidence-R-1.zip`."""
    return f"evidence-{found.rollout.id}.zip"


def build_bundle(found: Investigation, zone: str, find_handles: FindHandles) -> bytes:
    """The ZIP file, in which `find_handles` names people. It holds no text of prompts.

    The same investigation, and the same handles, always give the same bytes.
    """
    written = BytesIO()
    stamp = found.decided_at.astimezone(ZoneInfo(zone)).timetuple()[:6]
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in _list_files(found, zone, find_handles):
            entry = zipfile.ZipInfo(name, date_time=stamp)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            bundle.writestr(entry, text)
    return written.getvalue()


def _list_files(found: Investigation, zone: str, find_handles: FindHandles) -> Iterable[tuple[str, str]]:
    yield "checklist.txt", markup.name_people(_format_checklist(found, zone), find_handles)
    yield "evidence.json", _format_json(found)
    yield "measures.csv", _format_measures(found.measures)
    yield "segments.csv", _format_measures(found.segments)
    yield "history.csv", markup.name_people(history_file.format_csv(found.entries, zone), find_handles)
    stages = tuple(stage.name for stage in found.rollout.plan.stages)
    for metric, points in found.trends.items():
        rows = [(p.at.isoformat(), p.stage, p.difference, p.low, p.high) for p in points]
        yield f"trends/{metric}.csv", _format_table(("at", "stage", "difference", "low", "high"), rows)
        measure = next((m for m in found.measures if m.metric == metric and not m.segment), None)
        if measure is not None and (chart := svg.draw_chart(points, measure, stages, zone, metric)):
            yield f"charts/{metric}.svg", chart.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)


def _format_checklist(found: Investigation, zone: str) -> str:
    rollout = found.rollout
    lines = [f"{rollout.id} {rollout.plan.name}: rolled back {wording.format_plain_time(found.decided_at, zone)}", ""]
    for step in investigation.list_steps(found, zone):
        lines += [f"[ ] {step.question}", f"    {wording.to_plain_text(step.known)}", ""]
    return "\n".join(lines)


def _format_json(found: Investigation) -> str:
    shown = {
        "rollout": rollout_to_json(found.rollout),
        "since": found.since.isoformat(),
        "decided_at": found.decided_at.isoformat(),
        "findings": [
            {"metric": f.metric, "limit": f.limit_text, "canary": f.canary, "control": f.control, "segment": f.segment}
            for f in found.event.findings
        ],
        "first_seen": {one.measure.metric: one.at.isoformat() for one in investigation.list_first_seen(found)},
        "measures": [measure_to_json(found.rollout, m, found.decided_at) for m in found.measures],
        "segments": [measure_to_json(found.rollout, m, found.decided_at) for m in found.segments],
        "segments_checked": found.segments_checked,
        "other_changes": [
            {"rollout": o.rollout.id, "surface": o.rollout.plan.surface, "stage": o.stage, "at": o.at.isoformat()}
            for o in found.others
        ],
    }
    return json.dumps(shown, indent=2, ensure_ascii=False)


def _format_measures(measures: Sequence[Measure]) -> str:
    columns = ("metric", "segment", "new", "current", "difference", "low", "high", "unit", "limit", "verdict")
    rows = [
        (
            m.metric,
            m.segment,
            m.canary,
            m.control,
            m.difference,
            m.low,
            m.high,
            "relative" if m.relative else m.unit,
            m.limit_text or "",
            measure_rows.verdict_label(m),
        )
        for m in measures
    ]
    return _format_table(columns, rows)


def _format_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    return csv_text.format_csv([columns, *rows])
