"""The verb `customers`: who was served the new version of a rollout, for those who may know."""

from dataclasses import dataclass

from bot.commands import request
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import CommandContext
from bot.rendering.answers.served import customers
from bot.rendering.blocks.blocks import Message
from core.rollout.permissions import reading_rights
from core.rollout.state.model import Rollout
from core.store.units.served_units import ServedUnit

PAGE = 20  # customers of one answer in Slack


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCustomers:
    """A rollout, how many customers are on record as served its new version, and some of them."""

    rollout: Rollout
    total: int
    shown: tuple[ServedUnit, ...]


def answer(parsed: ParsedCommand, context: CommandContext) -> Message:
    """One page of the customers that were served the new version."""
    number = int(parsed.args[0]) if parsed.args else 1
    found = find_customers(parsed.rollout, context, limit=PAGE, offset=(number - 1) * PAGE)
    world = context.service.cached_world()
    return customers.render(
        found.rollout,
        found.shown,
        total=found.total,
        first=(number - 1) * PAGE + 1,
        keeps=world.policy.customers.keep if world.policy.customers is not None else None,
        zone=world.policy.timezone,
    )


def find_customers(reference: str, context: CommandContext, *, limit: int, offset: int) -> ServedCustomers:
    """Customers on record for a rollout. `Refused` for somebody who may not know them."""
    world = context.service.load_world()
    reading_rights.check_may_list_customers(world.policy, context.by)
    rollout = request.require_rollout(reference, context, world, "customers {id}")
    total, shown = context.service.load_served_units(rollout.id, limit=limit, offset=offset)
    return ServedCustomers(rollout=rollout, total=total, shown=tuple(shown))
