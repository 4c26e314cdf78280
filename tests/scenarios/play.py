"""A program that plays the refusals scenario into a database and leaves: for tests that need another processor."""

import sys

from core.store.database.connections import connect
from tests.scenarios.conftest import begun

if __name__ == "__main__":
    with connect(sys.argv[1]) as database:
        begun(database, "refusals").play(int(sys.argv[2])).intake.close()
