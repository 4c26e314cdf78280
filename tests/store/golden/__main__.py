"""Writes the golden file of every example that has none: `python -m tests.store.golden`.

A file that is there stays as it is, for its bytes may stand in somebody's log. A changed shape gets the next `SCHEMA`,
a function in `core/store/formats/codec.py` that lifts the old one, and a new example here.
"""

from pathlib import Path

from core.store.formats import codec
from tests.store.golden.examples import EXAMPLES

for name, event in EXAMPLES.items():
    file = Path(__file__).with_name(f"{name}.json")
    if not file.exists():
        file.write_text(codec.encode(event)[2] + "\n", encoding="utf-8")
        print(file.name)
