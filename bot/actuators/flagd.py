"""Reads and writes the weights of one flag in a JSON file of flagd, which is replaced as a whole."""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bot.actuators.system_api import SystemAccess
from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure, RetryLater, SettingMissing
from core.rollout.plans.plan import DrivenFlag

MAX_BYTES = 5_000_000
_WHOLE, _FINE = 100, 100_000  # what weights add up to: for whole percentages, and for thousandths of one


class FlagdFlag:
    """One flag of one file in the folder of the settings. Whoever changes the file besides should replace it, too."""

    def __init__(self, _: OutboundClient, flag: DrivenFlag, access: SystemAccess) -> None:
        if not access.url:
            raise SettingMissing(
                f"FLAGD_FOLDER is not set, so Rampart does not know where {flag.url} is: set it and restart the workers"
            )
        self._flag, self._folder = flag, Path(access.url)
        self._path = self._folder / flag.url

    def read(self) -> float:
        """What share of units gets the new variant by the file, as a percentage."""
        return self._measure_share(self._find_flag(self._load()))

    def read_dormant(self) -> float:
        """What share of units gets the new variant once the flag is enabled."""
        return self._measure_share({**self._find_flag(self._load()), "state": "ENABLED"})

    def explain_doubt(self) -> str:
        """Nothing: whatever is misspelt is not there, and refused."""
        return ""

    def rehearse(self, percent: float) -> None:
        """Refuse what `write` would refuse."""
        document = self._load()
        self._set_share(self._find_flag(document), percent)
        if not os.access(self._folder, os.W_OK):
            raise PermanentFailure(f"{self._flag.url} cannot be replaced: let the workers write in FLAGD_FOLDER")

    def write(self, percent: float) -> None:
        """Replace the file by one in which only the weights of this flag differ. Nobody reads half of it."""
        with self._locked():
            document = self._load()
            self._set_share(self._find_flag(document), percent)
            self._replace(_encode(document))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two flags of one file may be driven at once: the later writer must see what the earlier one wrote."""
        try:
            folder = os.open(self._folder, os.O_RDONLY)
        except OSError as error:
            raise self._refuse(error) from None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _load(self) -> dict[str, Any]:
        if self._path.is_symlink():
            raise PermanentFailure(f"{self._flag.url} is a link, which would be replaced: name the file itself")
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise PermanentFailure(f"there is no {self._flag.url} in FLAGD_FOLDER: was it moved?") from None
        except OSError as error:
            raise self._refuse(error) from None
        if len(text) > MAX_BYTES:
            raise PermanentFailure(f"{self._flag.url} has more than {MAX_BYTES:,} bytes: that cannot be the right file")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            # Somebody may be writing it in place; by the next try it is whole, or people are told.
            raise RetryLater(f"{self._flag.url} is not JSON") from None
        if not isinstance(document, dict):
            raise PermanentFailure(f"{self._flag.url} is not a file of flagd: it holds no flags")
        return document

    def _find_flag(self, document: dict[str, Any]) -> dict[str, Any]:
        flags, name = document.get("flags"), self._flag.feature
        flag = flags.get(name) if isinstance(flags, dict) else None
        if not isinstance(flag, dict):
            raise PermanentFailure(f"{self._flag.url} has no flag {name}: was it renamed or deleted?")
        variants = flag.get("variants")
        missing = [
            one for one in (self._flag.new, self._flag.old) if not isinstance(variants, dict) or one not in variants
        ]
        if missing:
            raise PermanentFailure(f"{name} in {self._flag.url} has no variant {missing[0]}")
        return flag

    def _measure_share(self, flag: dict[str, Any]) -> float:
        """The share of the new variant: 0 while the flag is disabled, since applications then use their own default."""
        if flag.get("state") != "ENABLED":
            return 0.0
        if not flag.get("targeting"):
            return 100.0 if flag.get("defaultVariant") == self._flag.new else 0.0
        if flag.get("defaultVariant") == self._flag.new:  # whom the rule cannot place, such as without a key, gets it
            return 100.0
        weights = self._find_weights(flag)
        total = sum(weight for _, weight in weights)
        return round(100 * sum(weight for name, weight in weights if name == self._flag.new) / total, 3)

    def _set_share(self, flag: dict[str, Any], percent: float) -> None:
        new, old, name = self._flag.new, self._flag.old, self._flag.feature
        if percent > 0 and flag.get("state") != "ENABLED":
            raise PermanentFailure(f"{name} in {self._flag.url} is disabled: write ENABLED as its state")
        total = _WHOLE if float(percent).is_integer() else _FINE
        share = round(percent * total / 100)
        default = flag.get("defaultVariant")
        if percent > 0 and default not in (new, old):
            raise PermanentFailure(f"{name} in {self._flag.url} serves {default} by default: let it serve {old}")
        if share < total and default == new:
            flag["defaultVariant"] = old
        if not flag.get("targeting"):
            flag["targeting"] = {"fractional": [[new, share], [old, total - share]]}
            return
        if any(weight for one, weight in self._find_weights(flag) if one not in (new, old)) and percent > 0:
            raise PermanentFailure(
                f"{name} in {self._flag.url} divides units among other variants, too: leave {new} and {old}"
            )
        if percent > 0 and _gives_out(flag["targeting"], new):
            raise PermanentFailure(
                f"the targeting of {name} in {self._flag.url} gives {new} to others, too: they would keep it at 0 %: "
                "remove that"
            )
        rule = self._find_rule(flag)
        given = self._find_weights(flag)
        others = [[one, weight] for one, weight in given if one not in (new, old)]
        if any(weight for _, weight in others):  # to nobody: the old variant takes the new one's weight
            left = sum(weight for one, weight in given if one in (new, old))
            share, rest = 0, left
        else:
            rest = total - share
        by = {new: share, old: rest}
        names = [one for one, _ in given]
        entries = [[one, by.get(one, weight)] for one, weight in given]
        entries += [[one, by[one]] for one in (new, old) if one not in names]
        rule["fractional"] = [*self._list_keys(rule), *entries]

    def _find_rule(self, flag: dict[str, Any]) -> dict[str, Any]:
        """The one `fractional` of the targeting, wherever it stands in it."""
        found = list(_walk_fractional(flag.get("targeting")))
        if len(found) != 1:
            raise PermanentFailure(
                f"the targeting of {self._flag.feature} in {self._flag.url} has {len(found)} `fractional` rules: it "
                "must have one, whose weights can be set"
            )
        return found[0]

    def _list_keys(self, rule: dict[str, Any]) -> list[Any]:
        """What the rule divides by, if it says so: all before its first weight."""
        entries = rule["fractional"]
        return entries[:1] if entries and not isinstance(entries[0], list) else []

    def _find_weights(self, flag: dict[str, Any]) -> list[tuple[str, int]]:
        """(variant, weight) in order; a weight that is left out is 1."""
        rule = self._find_rule(flag)
        entries = rule["fractional"][len(self._list_keys(rule)) :] if isinstance(rule["fractional"], list) else []
        weights: list[tuple[str, int]] = []
        for entry in entries:
            variant, weight = (*entry, 1)[:2] if isinstance(entry, list) and 1 <= len(entry) <= 2 else (None, None)
            if not isinstance(variant, str) or not isinstance(weight, int) or isinstance(weight, bool) or weight < 0:
                weights = []
                break
            weights.append((variant, weight))
        if not sum(weight for _, weight in weights):
            raise PermanentFailure(
                f"the weights of {self._flag.feature} in {self._flag.url} are not numbers: write [variant, number]"
            )
        return weights

    def _replace(self, text: bytes) -> None:
        try:
            handle, name = tempfile.mkstemp(prefix=f".{self._flag.url}.", dir=self._folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(name, self._path.stat().st_mode & 0o777)
                os.replace(name, self._path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(name)
                raise
        except OSError as error:
            raise self._refuse(error) from None

    def _refuse(self, error: OSError) -> PermanentFailure | RetryLater:
        why = error.strerror or type(error).__name__
        if isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError):
            return PermanentFailure(
                f"{self._flag.url} in FLAGD_FOLDER cannot be used: {why}. Let the workers write there"
            )
        return RetryLater(f"{self._flag.url} in FLAGD_FOLDER: {why}")


def _encode(document: dict[str, Any]) -> bytes:
    """The text of a file. Half of a surrogate pair, which JSON can escape, has no UTF-8: then all is escaped."""
    try:
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(document, indent=2) + "\n").encode()


def _gives_out(rule: Any, variant: str | None) -> bool:
    """Whether a targeting rule has this variant as a result of its own, by name, and not among weights."""
    if not isinstance(rule, dict):
        return bool(rule == variant)
    results: list[Any] = []
    for name in ("if", "?:"):
        branches = rule.get(name)
        if isinstance(branches, list):
            results += branches[1::2] + (branches[-1:] if len(branches) % 2 else [])
    return any(_gives_out(result, variant) for result in results)


def _walk_fractional(rule: Any) -> Iterator[dict[str, Any]]:
    """Every `fractional` in a targeting rule."""
    if isinstance(rule, dict):
        if "fractional" in rule:
            yield rule
            return
        for inside in rule.values():
            yield from _walk_fractional(inside)
    elif isinstance(rule, list):
        for inside in rule:
            yield from _walk_fractional(inside)
