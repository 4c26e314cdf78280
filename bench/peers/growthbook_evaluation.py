"""Evaluations a second of the growthbook SDK: three targeting rules and a 10 % split. Runs in .venv-peers."""

import json
import sys
import time

from growthbook import GrowthBook

FEATURES = {
    "support-assistant": {
        "defaultValue": "v42",
        "rules": [
            {"condition": {"email_domain": "example.com"}, "force": "v43"},
            {"condition": {"plan": "staff"}, "force": "v43"},
            {"condition": {"region": {"$in": ["no", "se", "fi"]}}, "force": "v43"},
            {"coverage": 0.1, "hashAttribute": "id", "force": "v43"},
        ],
    }
}


def main() -> None:
    """Answer each line with the CPU seconds of that many evaluations."""
    book = GrowthBook(features=FEATURES)
    for line in sys.stdin:
        people = json.loads(line)["people"]
        times = json.loads(line)["times"]
        answers = 0
        began = time.process_time()
        for _ in range(times):
            for person in people:
                book.set_attributes(person)
                if book.eval_feature("support-assistant").value == "v43":
                    answers += 1
        seconds = time.process_time() - began
        print(json.dumps({"seconds": seconds, "share": answers / (times * len(people))}), flush=True)


main()
