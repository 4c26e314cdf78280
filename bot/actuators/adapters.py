"""Which class talks to which driven system: one row each, beside the system's row in the core."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from bot.actuators.flag_system import FlagSystem
from bot.actuators.flagd import FlagdFlag
from bot.actuators.growthbook import GrowthbookFlag
from bot.actuators.langfuse import LangfuseLabel
from bot.actuators.launchdarkly import LaunchdarklyFlag
from bot.actuators.mlflow import MlflowAlias
from bot.actuators.system_api import SystemAccess
from bot.actuators.unleash import UnleashFlag
from bot.outbound.client import OutboundClient
from core.rollout.plans.plan import DrivenFlag

BuildAdapter: TypeAlias = Callable[[OutboundClient, DrivenFlag, SystemAccess], FlagSystem]

ADAPTERS: Mapping[str, BuildAdapter] = {
    "unleash": UnleashFlag,
    "launchdarkly": LaunchdarklyFlag,
    "growthbook": GrowthbookFlag,
    "flagd": FlagdFlag,
    "mlflow": MlflowAlias,
    "langfuse": LangfuseLabel,
}
"""By the name in `core.rollout.plans.driven_systems.DRIVEN_SYSTEMS`."""


def open_system(client: OutboundClient, driven: DrivenFlag, access: SystemAccess) -> FlagSystem:
    """What a plan drives; raises `PermanentFailure` if this installation may not talk to its system."""
    return ADAPTERS[driven.system](client, driven, access)
