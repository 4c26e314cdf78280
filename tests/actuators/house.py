"""A desk whose rollout drives a flag of the stand-in, and the worker that brings it there."""

from collections.abc import Callable

from sqlalchemy import select

from bot.actuators.flag_system import FlagSystem
from bot.actuators.system_api import SystemAccess
from bot.actuators.unleash import UnleashFlag
from bot.delivery import driven_flags
from bot.outbound.client import OutboundClient
from core.rollout import commands as c
from core.rollout.plans.plan import DrivenFlag
from core.rollout.state import events as e
from core.rollout.state.events import RolloutEvent
from core.service.service import RolloutService
from core.store.models import outbox as table
from tests.actuators.stand_in import TOKEN, StandIn
from tests.service.conftest import ROLLOUT, SURFACE, Desk


class House(Desk):
    """A desk whose rollout drives a flag, and a worker that brings it there."""

    def __init__(self, service: RolloutService, unleash: StandIn) -> None:
        super().__init__(service)
        self.unleash = unleash
        self.token = TOKEN
        self.url = unleash.url

    @property
    def files(self) -> str:
        where = "environment: production, feature: new-prompt, strategy: s-1"
        return f"{ROLLOUT}drives: {{unleash: {{url: {self.unleash.url!r}, {where}}}}}\n"

    def plan(self) -> "House":
        self.apply(SURFACE)
        self.apply(self.files)
        fingerprint = self.service.load_world().rollouts["R-1"].fingerprint
        self.say(c.RecordPosted(key=f"notice:{fingerprint}:support:#support", channel="C2", ts="1.0"))
        self.say(c.Approve())
        return self

    def begin(self) -> "House":
        """At 5 %, of which the flag system does not know yet."""
        self.plan().later(minutes=1).say(c.Start())
        return self

    def begin_another(self) -> "House":
        """A second rollout, R-2, on the same flag, at 5 %."""
        self.apply(self.files.replace("rollout: support-tone", "rollout: second").replace("9f2c51e0", "77777777"))
        fingerprint = self.service.load_world().rollouts["R-2"].fingerprint
        self.say(c.RecordPosted(key=f"notice:{fingerprint}:support:#support", channel="C2", ts="2.0"), rollout="R-2")
        self.say(c.Approve(), rollout="R-2")
        self.later(minutes=1).say(c.Start(), rollout="R-2")
        return self

    def step(self) -> "House":
        """To 50 %."""
        self.later(minutes=3).say(c.Advance(reason="enough seen"))
        return self

    def back(self) -> "House":
        self.say(c.RollBack(reason="wrong answers"))
        return self

    def drive(
        self,
        *,
        clock: Callable[[], object] | None = None,
        service: RolloutService | None = None,
        seconds: float = 5.0,
        claimed: Callable[[], None] = lambda: None,
    ) -> int:
        """What a worker does when its time has come."""
        door = OutboundClient({"127.0.0.1"}, timeout=seconds)
        service = service or self.service

        def open_system(driven: DrivenFlag) -> FlagSystem:
            claimed()
            return self.open_system(door, driven)

        return driven_flags.deliver_due(
            service,
            open_system,
            clock or (lambda: self.at),  # type: ignore[arg-type]
            random_fraction=lambda: 1.0,
        )

    def open_system(self, door: OutboundClient, driven: DrivenFlag) -> FlagSystem:
        return UnleashFlag(door, driven, SystemAccess(url=self.url, token=self.token))

    def until_quiet(self) -> "House":
        """As workers do it, again and again, until nothing waits."""
        for _ in range(20):
            self.drive()
            if not self.unsent():
                return self
            self.later(seconds=31)
        raise AssertionError(f"never quiet: {self.unsent()}")

    def unsent(self) -> list[str]:
        """What waits, besides the checks for late writes, which are due only later."""
        waiting = [x for x in self.rows() if x.state in {"pending", "leased"}]
        return [x.state for x in waiting if ":late:" not in x.ordering_key]

    def rows(self):
        with self.service.database.reading() as connection:
            return connection.execute(select(table).where(table.c.kind == "flag").order_by(table.c.id)).all()

    def happened(self, *kinds: type) -> list[RolloutEvent]:
        return [
            r.event for r in self.service.load_history("R-1") if isinstance(r.event, kinds or (e.FlagSet, e.FlagNotSet))
        ]

    @property
    def found(self) -> list[tuple[float, float]]:
        return [(x.before, x.percent) for x in self.happened(e.FlagSet)]

    @property
    def driven(self) -> DrivenFlag:
        return self.rollout.plan.driven[0]

    @property
    def reading(self) -> e.FlagSet | None:
        """What was read of it last, as the rollout has it."""
        return self.rollout.flags.get(self.driven.title)

    @property
    def rollout(self):
        return self.service.load_world().rollouts["R-1"]
