"""What a layer leaves of a surface's traffic: plans count only on the users who are the surface's own."""

from dataclasses import replace

from core.files.foresight.known_traffic import KnownTraffic
from core.flags.bucketing import MILLION
from core.rollout.plans.layers import find_layer
from core.rollout.plans.policy import Policy
from core.rollout.state.surface import Surface


def narrow_surface(surface: Surface, policy: Policy) -> Surface:
    """The surface with only the requests of its own users in its layer."""
    layer = find_layer(policy.layers, surface.name)
    if layer is None or surface.daily_requests is None:
        return surface
    return replace(surface, daily_requests=round(surface.daily_requests * layer.share_of(surface.name) / MILLION))


def narrow_traffic(known: KnownTraffic, surface: Surface, policy: Policy) -> KnownTraffic:
    """The traffic with only the requests of the surface's own users in its layer."""
    layer = find_layer(policy.layers, surface.name)
    if layer is None or known.daily_requests is None:
        return known
    share = layer.share_of(surface.name) / MILLION
    source = f"{known.pace_from}, {100 * share:g} % of it by the layer {layer.name}"
    return known.with_pace(known.daily_requests * share, source)
