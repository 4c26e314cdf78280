"""How a call of another system failed: trying again may help, or never will."""


class RetryLater(Exception):
    """Try again later: after `seconds` of real time, or after a backoff. `counts_as_attempt` is False for rate
    limits. `may_arrive`: the call may have been carried out, or may still be, as nobody answered it."""

    def __init__(
        self, why: str, *, seconds: float | None = None, counts_as_attempt: bool = True, may_arrive: bool = False
    ) -> None:
        super().__init__(why)
        self.seconds = seconds
        self.counts_as_attempt = counts_as_attempt
        self.may_arrive = may_arrive


class PermanentFailure(Exception):
    """It can never succeed, however often it is tried."""


class SettingMissing(PermanentFailure):
    """A setting that workers need is not set on this machine."""
