"""The snapshot over HTTP: what clients need to evaluate by themselves, and how old it is."""

import gzip
from typing import Any

import httpx

from bot.process.client_positions import ClientPositions
from bot.process.process_state import StandaloneStatus
from core.rollout import commands as c

SNAPSHOT = "/api/v1/snapshot"


def test_it_holds_every_answer_and_the_rule_that_chooses(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    document = client.get(SNAPSHOT).json()
    surface = document["surfaces"]["support-assistant"]
    assert document["format"] == 1
    assert surface["versions"]["v43"]["prompt"] == "new.md"
    rule, answers = surface["exposure"], surface["answers"]
    assert (rule["salt"], rule["canary_below"], rule["control_from"]) == ("R-1", 50_000, 50_000)
    assert answers[rule["canary"]] == {
        "version": "v43",
        "variant": "canary",
        "reason": "SPLIT",
        "rollout": "R-1",
        "cohort": "",
        "stage": "canary",
        "exposure": "R-1.1.canary",
    }
    assert answers[surface["live"]]["version"] == "v42"
    (earlier,) = rule["earlier_cohorts"]
    assert (earlier["where"], earlier["below"]) == ([["email_domain", ["example.com"]]], 500_000)


def test_it_is_sent_again_only_if_an_answer_can_change(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    first = client.get(SNAPSHOT)
    running.do(c.Pause(reason="let us look"))
    same = client.get(SNAPSHOT, headers={"If-None-Match": first.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert int(same.headers["rampart-position"]) > int(first.headers["rampart-position"])
    running.do(c.RollBack(reason="wrong"))
    assert client.get(SNAPSHOT, headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_its_age_is_that_of_what_the_process_knows(running: Any, serve: Any) -> None:
    class Status(StandaloneStatus):
        seconds_since_report = 3.2

    answer = serve(running, process_status=Status()).get(SNAPSHOT)
    assert answer.headers["age"] == "4"
    assert answer.headers["cache-control"] == "no-cache"


def test_it_is_compressed_for_those_who_ask(running: Any, serve: Any) -> None:
    client = serve(running)
    plain = client.get(SNAPSHOT, headers={"Accept-Encoding": "identity"})
    with client.stream("GET", SNAPSHOT, headers={"Accept-Encoding": "gzip"}) as answer:
        assert gzip.decompress(b"".join(answer.iter_raw())) == plain.content
    assert "content-encoding" not in plain.headers
    assert client.head(SNAPSHOT).headers["etag"] == plain.headers["etag"]
    for suffix in ("-gzip", "-br", ";gzip"):  # as a proxy writes it that compresses itself
        by_proxy = plain.headers["etag"].removesuffix('"') + suffix + '"'
        assert client.get(SNAPSHOT, headers={"If-None-Match": by_proxy}).status_code == 304


def test_a_large_one_arrives_whole(running: Any, serve: Any, surface_file: str) -> None:
    prompts = {name: name * 30_000 for name in ("one", "two")}
    for name, prompt in prompts.items():
        text = surface_file.replace("support-assistant", name).replace("old.md", f'"{prompt}"')
        running.apply(text)
    answer = serve(running).get(SNAPSHOT, headers={"Accept-Encoding": "identity"})
    assert int(answer.headers["content-length"]) == len(answer.content) > 2 * 65_536
    surfaces = answer.json()["surfaces"]
    assert {name: surfaces[name]["versions"]["v42"]["prompt"] for name in prompts} == prompts


def test_a_client_that_names_itself_is_tracked_until_it_ends(running: Any, serve: Any, canary: Any) -> None:
    clients = ClientPositions()
    client = serve(running, clients=clients)
    canary(running)
    named = {"Rampart-Client": "web-1:4711"}
    etag = client.get(SNAPSHOT, headers=named).headers["etag"]
    client.get(SNAPSHOT)
    client.get(SNAPSHOT, headers={"Rampart-Client": "no, not an id"})
    assert clients.count_clients() == (1, 0)
    running.do(c.RollBack(reason="wrong"))
    newer = client.get(SNAPSHOT, headers={**named, "If-None-Match": etag}).headers["etag"]
    assert clients.count_clients() == (0, 1), "it may be serving what it had until it says otherwise"
    by_proxy = newer.removesuffix('"') + '-gzip"'
    client.get(SNAPSHOT, headers={**named, "If-None-Match": by_proxy})
    assert clients.count_clients() == (1, 0)
    assert client.delete(SNAPSHOT, headers=named).status_code == 204
    assert clients.count_clients() == (0, 0)


def test_other_methods_are_refused(running: Any, serve: Any) -> None:
    answer: httpx.Response = serve(running).put(SNAPSHOT)
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, HEAD")
