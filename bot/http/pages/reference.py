"""The page `/docs`: the OpenAPI document as HTML, without external scripts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from bot.http.pages.routes import HEADERS, TEMPLATES

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOperation:
    """One operation of the API, as text."""

    method: str
    path: str
    about: str
    takes: tuple[str, ...]  # parameters, and the media types of a body
    answers: tuple[tuple[str, str], ...]  # (status, what it means)


def build_router(document: Callable[[], Mapping[str, Any]]) -> APIRouter:
    """The route of the page; `/openapi.json` has the full document."""
    api = APIRouter(include_in_schema=False)
    template = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined).get_template(
        "reference.html"
    )

    @api.get("/docs")
    def show_reference() -> HTMLResponse:
        described = document()
        return HTMLResponse(
            template.render(about=described["info"]["description"], operations=list_operations(described)),
            headers=HEADERS,
        )

    return api


def list_operations(document: Mapping[str, Any]) -> tuple[ApiOperation, ...]:
    """Every operation of an OpenAPI document, in document order."""
    return tuple(
        ApiOperation(
            method=method.upper(),
            path=path,
            about=described.get("description") or described.get("summary") or "",
            takes=_list_inputs(described),
            answers=tuple((status, x.get("description", "")) for status, x in described.get("responses", {}).items()),
        )
        for path, methods in document["paths"].items()
        for method, described in methods.items()
        if method in _METHODS
    )


def _list_inputs(described: Mapping[str, Any]) -> tuple[str, ...]:
    named = tuple(f"{x['name']} ({x['in']})" for x in described.get("parameters", ()) if "name" in x)
    body = described.get("requestBody", {}).get("content", {})
    return (*named, *(f"{media} (body)" for media in body))
