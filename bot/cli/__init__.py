"""The `rollout` command: exit status 0 done, 1 refused or found wrong, 2 could not run."""

import sys

from bot.cli.root import app


def main() -> None:
    """The console script; whatever cannot run says why in one line and exits 2."""
    from bot.settings import SettingsError
    from core.store.errors import StoreError

    try:
        app()
    except (SettingsError, StoreError, OSError) as error:
        print(f"rollout: {error}", file=sys.stderr)
        sys.exit(2)
