"""What follows when another model answers than configured, or when one that is used will be switched off."""

from typing import assert_never

from core.rollout import commands as c
from core.rollout.models.called_model import format_model, may_answer
from core.rollout.models.retirements import is_told
from core.rollout.state.surface import OtherModelAnswered, RetirementTold, Surface

MAX_OTHER_MODELS = 5
"""Alerts for one version at most: an application that makes up names must not fill the log."""


def decide(surface: Surface, command: c.ModelCommand) -> OtherModelAnswered | RetirementTold | None:
    """The alert or the warning for `command`; None if there is nothing new to say."""
    match command:
        case c.ReportOtherModel():
            return decide_other_model(surface, command)
        case c.TellRetirement():
            return decide_retirement(surface, command)
        case _:
            assert_never(command)


def decide_other_model(surface: Surface, command: c.ReportOtherModel) -> OtherModelAnswered | None:
    """The alert, unless the model may answer for this version, or was told of before."""
    content = surface.versions.get(command.version)
    known = [x.answered for x in surface.other_models if x.version == command.version]
    if content is None or command.answered in known or len(known) >= MAX_OTHER_MODELS:
        return None
    if may_answer(content, command.answered):
        return None
    return OtherModelAnswered(version=command.version, configured=format_model(content), answered=command.answered)


def decide_retirement(surface: Surface, command: c.TellRetirement) -> RetirementTold | None:
    """The warning, unless the same or a later step was told before."""
    told = command.told
    before = [one for one in surface.retirements if one.model == told.model]
    return None if is_told(before, told.on, told.days) else told
