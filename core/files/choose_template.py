"""Choose the template of a file that names none: a long comparison for what is changed a lot at high risk."""

from core.files.find_changes import find_changes
from core.files.kinds.rollout_file import RolloutFile
from core.files.syntax.problems import UnreadableFile
from core.rollout.plans.plan import Risk
from core.rollout.state.surface import Surface
from core.versions.content_difference import compare_contents

MODEL_UPGRADE, LONG_COMPARISON = "model-upgrade-high-stakes", "prompt-rewrite-long-ab"
REWRITE = 0.4
"""From this share of rewritten words on, a change of a prompt is a rewrite."""


def with_chosen_template(file: RolloutFile, surface: Surface | None) -> RolloutFile:
    """The file with the template that applies.

    A high-risk file with neither template nor stages gets the playbook of a model upgrade if the model changes, and a
    long comparison if more than `REWRITE` of the prompt is rewritten. Every other file stays as it is.
    """
    if file.effective_risk is not Risk.HIGH or "template" in file.model_fields_set or file.stages is not None:
        return file
    if "model" in file.change.to.model_fields_set:
        return file.model_copy(update={"template": MODEL_UPGRADE})
    if surface is not None and _is_rewrite(file, surface):
        return file.model_copy(update={"template": LONG_COMPARISON})
    return file


def _is_rewrite(file: RolloutFile, surface: Surface) -> bool:
    try:
        from_version, changed = find_changes(file, surface)
    except UnreadableFile:
        return False  # the checks say what is wrong with it
    before = surface.versions[from_version]
    found = compare_contents(before, {**before, **changed})
    return any(text.path == "prompt" and text.rewritten_share > REWRITE for text in found.texts)
