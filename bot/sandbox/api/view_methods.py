"""The `views.*` methods: open a modal, update it, publish a home tab."""

from typing import Any

from bot.sandbox.api import composing
from bot.sandbox.rules.errors import MethodError
from bot.sandbox.workspace import presenting
from bot.sandbox.workspace.slack_side import SlackSide

Json = dict[str, Any]


def views_open(side: SlackSide, args: Json) -> Json:
    """views.open: opens a modal in exchange for a trigger id."""
    person = side.triggers.exchange(str(args.get("trigger_id", "")))
    view = composing.view(side, person, args.get("view"), kinds=("modal",))
    side.workspace.close_views(person, all_of_them=True)
    side.workspace.open_view(view)
    return {"view": presenting.view(view)}


def views_update(side: SlackSide, args: Json) -> Json:
    """views.update: replaces a view by `view_id` or `external_id`; an outdated `hash` is a `hash_conflict`."""
    wanted, external = str(args.get("view_id") or ""), str(args.get("external_id") or "")
    old = next((v for v in side.workspace.views() if v.id == wanted or (external and v.external_id == external)), None)
    if old is None:
        raise MethodError("not_found")
    if args.get("hash") and args["hash"] != old.hash:
        raise MethodError("hash_conflict")
    view = composing.view(side, old.person, args.get("view"), kinds=(str(old.body["type"]),), replacing=old)
    side.workspace.replace_view(view)
    return {"view": presenting.view(view)}


def views_publish(side: SlackSide, args: Json) -> Json:
    """views.publish: sets the home tab of one person."""
    person = str(args.get("user_id", ""))
    if person not in side.workspace.people:
        raise MethodError("user_not_found")
    old = side.workspace.homes.get(person)
    if old is not None and args.get("hash") and args["hash"] != old.hash:
        raise MethodError("hash_conflict")
    view = composing.view(side, person, args.get("view"), kinds=("home",), replacing=old)
    side.workspace.publish_home(view)
    return {"view": presenting.view(view)}
