"""Which parts of a version a rollout file changes."""

from collections.abc import Mapping
from typing import Any

from core.files.kinds.rollout_file import RolloutFile
from core.files.syntax.problems import UnreadableFile
from core.rollout.plans.plan import MERGED_PARTS, changed_parts
from core.rollout.state.surface import Surface


def find_changes(file: RolloutFile, surface: Surface) -> tuple[str, Mapping[str, Any]]:
    """The version to start from, and the parts that differ from it, each as a whole.

    Raises UnreadableFile if there is no such version or nothing differs.
    """
    from_version = file.change.from_version
    before = surface.versions.get(from_version)
    if before is None:
        known = ", ".join(surface.versions)
        message = f"{surface.name} has never had a version {from_version}, only {known}"
        raise UnreadableFile([file.source.problem_at(("change", "from"), message)])
    after = dict(before)
    for part, content in file.change.to.to_content().items():
        old = before.get(part)
        merge = part in MERGED_PARTS and isinstance(content, dict) and isinstance(old, Mapping)
        after[part] = {**old, **content} if merge else content  # type: ignore[dict-item]
    different = {part: after[part] for part in changed_parts(before, after)}
    if not different:
        message = f"nothing changes: {from_version} already has exactly this content"
        raise UnreadableFile([file.source.problem_at(("change", "to"), message, at_key=True)])
    return from_version, different
