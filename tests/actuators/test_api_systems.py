"""What is asked of each system's API, what its answers mean, and what a person has to mend."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bot.actuators.adapters import ADAPTERS, open_system
from bot.actuators.flag_system import FlagSystem
from bot.actuators.system_api import SystemAccess
from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure, RetryLater
from core.rollout.plans.driven_systems import DRIVEN_SYSTEMS
from tests.actuators.api_server import Answer, ApiCall, ApiServer, serving
from tests.actuators.api_systems import NEW, OLD, TOKEN, GrowthBook, Langfuse, LaunchDarkly, Mlflow

SYSTEMS = {"launchdarkly": LaunchDarkly, "growthbook": GrowthBook, "langfuse": Langfuse, "mlflow": Mlflow}
LABELS = ("langfuse", "mlflow")


@pytest.fixture(params=SYSTEMS)
def product(request: pytest.FixtureRequest) -> Any:
    return SYSTEMS[request.param]()


@pytest.fixture
def api(product: Any) -> Iterator[ApiServer]:
    with serving(product.answer) as server:
        yield server


def opened(product: Any, api: ApiServer, *, token: str = TOKEN, **changes: Any) -> FlagSystem:
    driven = replace(product.driven(api.url), **changes)
    return open_system(OutboundClient({"127.0.0.1"}), driven, SystemAccess(url=api.url, token=token))


def test_every_system_that_a_file_can_name_has_a_class() -> None:
    assert set(ADAPTERS) == set(DRIVEN_SYSTEMS)


def test_it_is_read_and_written_and_read_back(product, api):
    system = opened(product, api)
    assert system.read() == 0
    for percent in (100, 0) if type(product) in (Langfuse, Mlflow) else (5, 2.5, 33.33, 100, 0):
        system.write(percent)
        assert system.read() == percent


def test_a_rehearsal_writes_nothing(product, api):
    system = opened(product, api)
    for percent in (100, 0):
        system.rehearse(percent)
    assert api.writes == 0
    assert system.read() == 0


@pytest.mark.parametrize("method", ["read", "write"])
@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_what_passes_is_tried_again_when_the_system_says(product, api, method, status):
    system = opened(product, api)
    api.fail_next("GET" if method == "read" else "PATCH", status, Retry_After="17")
    api.fail_next("POST", status, Retry_After="17")
    with pytest.raises(RetryLater, match=str(status)) as caught:
        system.read() if method == "read" else system.write(100)
    assert caught.value.seconds == 17
    assert "secret" not in str(caught.value)


def test_a_token_that_is_refused_is_named_and_not_shown(product, api):
    with pytest.raises(PermanentFailure, match=r"set [A-Z]+_TOKEN .*\(401\)") as caught:
        opened(product, api, token="else:where").read()
    assert TOKEN not in str(caught.value)
    assert "where" not in str(caught.value)


def test_what_is_not_there_is_said(product, api):
    with pytest.raises(PermanentFailure, match=r"GrowthBook has no|LaunchDarkly has no|MLflow has no|has no prompt"):
        opened(product, api, feature="else").write(100)


def test_the_token_goes_nowhere_else(product, api):
    with serving(product.answer) as thief:
        driven = product.driven(thief.url)
        with pytest.raises(PermanentFailure, match=re.escape(f"the token is for {api.url}")):
            open_system(OutboundClient({"127.0.0.1"}), driven, SystemAccess(url=api.url, token=TOKEN))
        assert thief.log == []


def test_an_inner_address_is_called_only_where_it_is_listed(product, api):
    system = open_system(OutboundClient(), product.driven(api.url), SystemAccess(url=api.url, token=TOKEN))
    with pytest.raises(PermanentFailure, match="ALLOW_PRIVATE_HOSTS"):
        system.read()
    assert api.log == []


@pytest.mark.parametrize("said", [[], {}, {"feature": {"rules": 1}}, {"environments": {"production": {"on": 1}}}])
def test_what_answers_like_another_system_is_tried_again(product, api, said):
    api.answer = lambda _: (200, said)
    with pytest.raises(RetryLater, match="answers, but not like"):
        opened(product, api).read()


class TestLaunchDarkly:
    @pytest.fixture
    def product(self) -> LaunchDarkly:
        return LaunchDarkly()

    def test_who_it_divides_stays_as_it_is(self, product, api):
        product.weigh(5000, 95_000)
        opened(product, api).write(10)
        rollout = product.environment["fallthrough"]["rollout"]
        assert rollout["contextKind"] == "account"
        assert [one["weight"] for one in rollout["variations"]] == [10_000, 90_000, 0]

    def test_a_default_rule_without_weights_is_nobody_or_everybody(self, product, api):
        product.environment["fallthrough"] = {"variation": 0}
        assert opened(product, api).read() == 100
        opened(product, api).write(0)
        assert opened(product, api).read() == 0

    def test_targeting_that_is_off_does_not_grow(self, product, api):
        product.weigh(20_000, 80_000)
        product.environment["on"] = False
        assert (opened(product, api).read(), opened(product, api).read_dormant()) == (0, 20)
        with pytest.raises(PermanentFailure, match="is off in production: turn it on"):
            opened(product, api).write(5)
        assert api.writes == 0

    def test_an_off_variation_that_is_the_new_one_is_taken_back(self, product, api):
        """Somebody switches it off by hand, and that gives everybody the new version."""
        product.environment |= {"on": False, "offVariation": 0}
        system = opened(product, api)
        assert system.read() == 100
        system.write(0)
        assert system.read() == 0

    def test_a_third_variation_stops_growth_and_no_rollback(self, product, api):
        product.weigh(20_000, 50_000, 30_000)
        system = opened(product, api)
        with pytest.raises(PermanentFailure, match="serves other variations, too"):
            system.write(50)
        system.write(0)
        weights = [one["weight"] for one in product.environment["fallthrough"]["rollout"]["variations"]]
        assert weights == [0, 70_000, 30_000]

    @pytest.mark.parametrize(
        "also",
        [
            {"targets": [{"variation": 0, "values": ["user-1"]}]},
            {"contextTargets": [{"variation": 0, "contextKind": "account", "values": ["a-1"]}]},
            {"rules": [{"variation": 0, "clauses": []}]},
            {
                "rules": [
                    {"rollout": {"variations": [{"variation": 0, "weight": 1000}, {"variation": 1, "weight": 99_000}]}}
                ]
            },
        ],
    )
    def test_whatever_else_gives_out_the_new_variation_stops_growth_and_no_rollback(self, product, api, also):
        product.weigh(5000, 95_000)
        product.environment |= also
        system = opened(product, api)
        with pytest.raises(PermanentFailure, match="targets or rules of new-prompt in production serve"):
            system.rehearse(10)
        system.write(0)
        assert system.read() == 0

    def test_targets_and_rules_of_the_old_variation_change_nothing(self, product, api):
        product.environment |= {"targets": [{"variation": 1, "values": ["user-1"]}], "rules": [{"variation": 1}]}
        opened(product, api).write(10)
        assert opened(product, api).read() == 10

    def test_variations_that_are_not_there_are_named(self, product, api):
        with pytest.raises(PermanentFailure, match=f"no variation else or {OLD}; it has {NEW}"):
            opened(product, api, new="else").read()

    def test_approvals_are_named(self, product, api):
        product.approvals = True
        with pytest.raises(PermanentFailure, match="asks for an approval"):
            opened(product, api).write(5)

    def test_an_archived_flag_does_not_grow(self, product, api):
        product.weigh(5000, 95_000)
        answer = product.answer
        api.answer = lambda call: (200, {**answer(call)[1], "archived": True})
        with pytest.raises(PermanentFailure, match=r"new-prompt is archived: no application gets it"):
            opened(product, api).write(10)
        opened(product, api).write(0)
        assert opened(product, api).read() == 0


class TestGrowthBook:
    @pytest.fixture
    def product(self) -> GrowthBook:
        return GrowthBook()

    def test_the_other_rules_stay_as_they_are(self, product, api):
        before = [dict(rule) for rule in product.rules]
        opened(product, api).write(25)
        assert product.rules == [before[0], {**before[1], "coverage": 0.25}]

    def test_what_somebody_changed_just_before_is_kept(self, product, api):
        system = opened(product, api)
        system.read()
        product.rules.append({"id": "fr_else", "type": "force", "value": "x"})
        system.write(5)
        assert [rule["id"] for rule in product.rules] == ["fr_force", "fr_new", "fr_else"]

    def test_a_disabled_rule_is_nobody_and_does_not_grow_but_goes_back(self, product, api):
        product.rules[1] |= {"enabled": False, "coverage": 0.5}
        assert (opened(product, api).read(), opened(product, api).read_dormant()) == (0, 50)
        with pytest.raises(PermanentFailure, match="is disabled: enable it"):
            opened(product, api).write(5)
        opened(product, api).write(0)
        assert (product.rules[1]["enabled"], product.rules[1]["coverage"]) == (False, 0)

    @pytest.mark.parametrize(
        "also",
        [
            {"id": "fr_also", "type": "force", "value": "true", "condition": '{"country": "DE"}'},
            {"id": "fr_also", "type": "rollout", "value": "true", "coverage": 0.1},
            {"id": "fr_also", "type": "experiment-ref", "variations": [{"variationId": "a", "value": "true"}]},
            {"id": "fr_also", "type": "safe-rollout", "controlValue": "false", "variationValue": "true"},
        ],
    )
    def test_whatever_else_gives_out_its_value_stops_growth_and_no_rollback(self, product, api, also):
        product.rules[1]["coverage"] = 0.05
        product.rules.insert(0, also)
        system = opened(product, api)
        with pytest.raises(PermanentFailure, match="rule fr_also of new-prompt serves the value of rule fr_new, too"):
            system.write(10)
        system.write(0)
        assert system.read() == 0

    @pytest.mark.parametrize("also", [{"enabled": False}, {"type": "rollout", "coverage": 0}, {"value": "false"}])
    def test_a_rule_that_gives_it_to_nobody_changes_nothing(self, product, api, also):
        product.rules.insert(0, {"id": "fr_also", "type": "force", "value": "true", **also})
        opened(product, api).write(10)
        assert opened(product, api).read() == 10

    def test_a_default_that_is_the_new_version_stops_growth(self, product, api):
        product.feature["defaultValue"] = "true"
        with pytest.raises(PermanentFailure, match="serves the value of rule fr_new by default"):
            opened(product, api).write(10)
        opened(product, api).write(0)

    def test_a_feature_that_is_off_where_the_rule_is_does_not_grow(self, product, api):
        product.feature["environments"]["production"]["enabled"] = False
        with pytest.raises(PermanentFailure, match="new-prompt is off in every environment of rule fr_new"):
            opened(product, api).write(10)
        product.rules[1] |= {"allEnvironments": True, "environments": []}
        product.feature["environments"]["dev"]["enabled"] = True
        opened(product, api).write(10)

    def test_an_archived_feature_does_not_grow(self, product, api):
        answer = product.answer
        api.answer = lambda call: (200, {"feature": {**answer(call)[1]["feature"], "archived": True}})
        with pytest.raises(PermanentFailure, match=r"new-prompt is archived: no application gets it"):
            opened(product, api).write(10)
        opened(product, api).write(0)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"type": "force"}, "must be a percentage rollout"),
            ({"coverage": "5"}, "must be a percentage rollout"),
            ({"coverage": 5}, "must be a percentage rollout"),
            ({"id": "fr_else"}, "has no rule fr_new"),
        ],
    )
    def test_what_is_no_percentage_needs_a_human(self, product, api, change, said):
        product.rules[1] |= change
        with pytest.raises(PermanentFailure, match=said):
            opened(product, api).read()

    def test_approvals_are_named(self, product, api):
        product.approvals = True
        with pytest.raises(PermanentFailure, match="let the REST API bypass it"):
            opened(product, api).write(5)


@pytest.fixture(params=LABELS)
def label(request: pytest.FixtureRequest) -> Any:
    return SYSTEMS[request.param]()


class TestLabels:
    @pytest.fixture
    def product(self, label: Any) -> Any:
        return label

    def name(self, product: Any, version: str) -> None:
        """Somebody moves the label by hand."""
        if isinstance(product, Mlflow):
            product.aliases["production"] = version
        else:
            product.labels = {
                one: [
                    *(each for each in labels if each != "production"),
                    *(["production"] if str(one) == version else []),
                ]
                for one, labels in product.labels.items()
            }

    def third(self, product: Any) -> str:
        return "3" if isinstance(product, Mlflow) else "5"

    def test_a_label_that_somebody_moved_elsewhere_is_left_alone(self, product, api):
        self.name(product, self.third(product))
        system = opened(product, api)
        assert system.read() == 0, "it gives nobody the new version"
        for percent in (0, 100):
            for act in (system.write, system.rehearse):
                with pytest.raises(PermanentFailure, match=f"names version {self.third(product)}, and the plan moves"):
                    act(percent)
        assert api.writes == 0

    def test_a_label_that_is_not_there_yet_is_nobody_s_and_is_set(self, product, api):
        self.name(product, "none")
        if isinstance(product, Mlflow):
            product.aliases.clear()
        system = opened(product, api)
        assert system.read() == 0
        system.write(100)
        assert system.read() == 100

    def test_a_label_that_no_version_has_is_doubted_and_those_there_are_are_named(self, product, api):
        assert opened(product, api).explain_doubt() == ""
        said = opened(product, api, strategy="prodution").explain_doubt()
        assert "has prodution yet, so the rollout would make it: is it spelt as applications read it?" in said
        assert "production" in said.partition("There are")[2]
        assert api.writes == 0

    def test_a_version_that_is_not_there_is_found_before_the_start(self, product, api):
        system = opened(product, api, new="9")
        system.rehearse(0)
        with pytest.raises(PermanentFailure, match=r"with the versions? (. and )?9: was it deleted"):
            system.rehearse(100)
        assert api.writes == 0

    def test_a_model_or_prompt_that_is_not_there_is_found_before_the_start(self, product, api):
        with pytest.raises(PermanentFailure, match=r"has no (model|prompt) else with the version"):
            opened(product, api, feature="else").rehearse(0)


def test_an_alias_whose_version_was_deleted_still_goes_back() -> None:
    """Somebody deletes the version that did harm, and MLflow keeps the alias that names it."""
    product = Mlflow(aliases={"production": "2"}, versions={"1", "3"})
    with serving(product.answer) as api:
        system = opened(product, api)
        assert system.read() == 100
        system.write(0)
        assert (system.read(), product.aliases) == (0, {"production": "1"})


class TestLangfuse:
    @pytest.fixture
    def product(self) -> Langfuse:
        return Langfuse()

    @pytest.mark.parametrize("replaces", [True, False])
    def test_the_other_labels_stay_where_they_are(self, product, api, replaces):
        product.replaces = replaces
        system = opened(product, api)
        system.write(100)
        assert {one: sorted(labels) for one, labels in product.labels.items()} == {
            3: ["eu"],
            4: ["latest", "production", "staging"],
            5: [],
        }
        system.write(0)
        assert {one: sorted(labels) for one, labels in product.labels.items()} == {
            3: ["eu", "production"],
            4: ["latest", "staging"],
            5: [],
        }

    def test_a_prompt_of_many_megabytes_moves_as_any_other(self, product, api):
        """What is read is the list, which has no texts."""
        api.answer = lambda call: (
            product.answer(call) if call.path[-1] != "assistant" else (200, {"prompt": "x" * 10**6})
        )
        opened(product, api).write(100)
        assert opened(product, api).read() == 100

    def test_a_protected_label_is_named(self, product, api):
        product.protected = True
        with pytest.raises(PermanentFailure, match="is production a protected label"):
            opened(product, api).write(100)


def test_mlflow_asks_for_no_token_where_the_server_does_not() -> None:
    seen: list[str | None] = []

    def answer(call: ApiCall) -> Answer:
        seen.append(call.headers.get("authorization"))
        return 200, {"model_version": {"version": "1"}}

    with serving(answer) as api:
        for token in ("bearer", ""):
            assert opened(Mlflow(), api, token=token).read() == 0
    assert seen == ["Bearer bearer", None]
