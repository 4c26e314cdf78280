"""Evaluations a second of other SDKs with a flag of three targeting rules and a 10 % split. Runs in .venv-peers.

Takes the name of an SDK. OpenFeature's in-memory provider has neither rules nor splits: its answer is fixed.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Evaluate = Callable[[dict[str, str]], bool]
"""Whether a person gets the new version; the person's attributes are as an application has them."""

FLAG = "support-assistant"
RULES = {"email_domain": ["example.com"], "plan": ["staff"], "region": ["no", "se", "fi"]}


def open_growthbook() -> Evaluate:
    """A new person in the same instance."""
    from growthbook import GrowthBook

    rules: list[dict[str, Any]] = [
        {"condition": {name: {"$in": values}}, "force": "v43"} for name, values in RULES.items()
    ]
    rules.append({"coverage": 0.1, "hashAttribute": "id", "force": "v43"})
    book = GrowthBook(features={FLAG: {"defaultValue": "v42", "rules": rules}})

    def evaluate(person: dict[str, str]) -> bool:
        book.set_attributes(person)
        return bool(book.eval_feature(FLAG).value == "v43")

    return evaluate


def open_launchdarkly() -> Evaluate:
    """Flags from a file, without events."""
    import ldclient
    from ldclient.config import Config
    from ldclient.integrations import Files

    shares = [{"variation": 1, "weight": 10_000}, {"variation": 0, "weight": 90_000}]
    flag = {
        "key": FLAG,
        "version": 1,
        "on": True,
        "variations": ["v42", "v43"],
        "salt": "salt",
        "rules": [
            {"id": name, "variation": 1, "clauses": [{"attribute": name, "op": "in", "values": values}]}
            for name, values in RULES.items()
        ],
        "fallthrough": {"rollout": {"variations": shares}},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flags.json"
        path.write_text(json.dumps({"flags": {FLAG: flag}}), encoding="utf-8")
        source = Files.new_data_source(paths=[str(path)])
        client = ldclient.LDClient(Config("none", update_processor_class=source, send_events=False))

    def evaluate(person: dict[str, str]) -> bool:
        context = ldclient.Context.from_dict({"kind": "user", "key": person["id"], **person})
        return bool(client.variation(FLAG, context, "v42") == "v43")

    return evaluate


def open_unleash() -> Evaluate:
    """Flags given at the start, without a server and metrics."""
    from UnleashClient import UnleashClient
    from UnleashClient.cache import FileCache

    constraints = [[{"contextName": name, "operator": "IN", "values": values}] for name, values in RULES.items()]
    strategies = [
        {
            "name": "flexibleRollout",
            "constraints": constraint,
            "parameters": {"rollout": share, "stickiness": "userId", "groupId": FLAG},
        }
        for constraint, share in [*((one, "100") for one in constraints), ([], "10")]
    ]
    feature = {"name": FLAG, "type": "release", "enabled": True, "strategies": strategies}
    with tempfile.TemporaryDirectory() as folder:
        cache = FileCache("bench", directory=folder)
        cache.bootstrap_from_dict({"version": 1, "features": [feature]})
        client = UnleashClient(
            "http://127.0.0.1:1/api", "bench", cache=cache, disable_metrics=True, disable_registration=True
        )

    def evaluate(person: dict[str, str]) -> bool:
        return bool(client.is_enabled(FLAG, {"userId": person["id"], "properties": person}))

    return evaluate


def open_openfeature() -> Evaluate:
    """The SDK itself, through its client."""
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

    api.set_provider(InMemoryProvider({FLAG: InMemoryFlag("old", {"old": "v42", "new": "v43"})}))
    client = api.get_client()

    def evaluate(person: dict[str, str]) -> bool:
        context = EvaluationContext(targeting_key=person["id"], attributes=person)
        return bool(client.get_string_value(FLAG, "v42", context) == "v43")

    return evaluate


SDKS: dict[str, Callable[[], Evaluate]] = {
    "growthbook": open_growthbook,
    "launchdarkly": open_launchdarkly,
    "unleash": open_unleash,
    "openfeature": open_openfeature,
}


def count_new(evaluate: Evaluate, people: Sequence[dict[str, str]], times: int) -> int:
    """How many evaluations give the new version."""
    found = 0
    for _ in range(times):
        for person in people:
            if evaluate(person):
                found += 1
    return found


def main() -> None:
    """Answer each line with the CPU seconds of that many evaluations, and the share of the new version."""
    evaluate = SDKS[sys.argv[1]]()
    for line in sys.stdin:
        asked = json.loads(line)
        people, times = asked["people"], asked["times"]
        began = time.process_time()
        found = count_new(evaluate, people, times)
        seconds = time.process_time() - began
        print(json.dumps({"seconds": seconds, "share": found / (times * len(people))}), flush=True)


main()
