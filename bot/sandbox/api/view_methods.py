"""The `views.*` methods: open a modal, update it, publish a home tab."""

from typing import Any

from bot.sandbox.api import validation
from bot.sandbox.rules.errors import MethodError
from bot.sandbox.workspace import slack_json
from bot.sandbox.workspace.slack_state import SlackState

Json = dict[str, Any]


def views_open(slack: SlackState, args: Json) -> Json:
    """views.open: opens a modal in exchange for a trigger id."""
    person = slack.triggers.exchange(str(args.get("trigger_id", "")))
    view = validation.build_view(slack, person, args.get("view"), kinds=("modal",))
    slack.workspace.close_views(person, all_of_them=True)
    slack.workspace.open_view(view)
    return {"view": slack_json.view_to_json(view)}


def views_update(slack: SlackState, args: Json) -> Json:
    """views.update: replaces a view by `view_id` or `external_id`; an outdated `hash` is a `hash_conflict`."""
    wanted, external = str(args.get("view_id") or ""), str(args.get("external_id") or "")
    old = next(
        (v for v in slack.workspace.list_views() if v.id == wanted or (external and v.external_id == external)), None
    )
    if old is None:
        raise MethodError("not_found")
    if args.get("hash") and args["hash"] != old.hash:
        raise MethodError("hash_conflict")
    view = validation.build_view(slack, old.person, args.get("view"), kinds=(str(old.body["type"]),), replacing=old)
    slack.workspace.replace_view(view)
    return {"view": slack_json.view_to_json(view)}


def views_publish(slack: SlackState, args: Json) -> Json:
    """views.publish: sets the home tab of one person."""
    person = str(args.get("user_id", ""))
    if person not in slack.workspace.people:
        raise MethodError("user_not_found")
    old = slack.workspace.homes.get(person)
    if old is not None and args.get("hash") and args["hash"] != old.hash:
        raise MethodError("hash_conflict")
    view = validation.build_view(slack, person, args.get("view"), kinds=("home",), replacing=old)
    slack.workspace.publish_home(view)
    return {"view": slack_json.view_to_json(view)}
