"""A trivial Starlette route: JSON in, JSON of an evaluation's size out. Served as our own server is."""

import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

ANSWER: dict[str, Any] = {
    "key": "support-assistant",
    "value": {
        "prompt": "You are the support assistant. Explain the cause, then give the steps to fix it, and greet.",
        "model": {"provider": "acme-ai", "name": "large-3", "snapshot": "2026-03-01"},
        "params": {"temperature": 0.2, "effort": "medium"},
        "tools": ["lookup_order", "search_help"],
        "routing": {"default": "large-3"},
    },
    "variant": "control",
    "reason": "SPLIT",
    "metadata": {"rollout": "R-1", "version": "v42", "cohort": "", "stage": "canary"},
}


async def evaluate(request: Request) -> JSONResponse:
    """Read the question, give the one answer there is."""
    await request.json()
    return JSONResponse(ANSWER)


async def constant(_: Request) -> JSONResponse:
    """Give the one answer there is."""
    return JSONResponse(ANSWER)


if __name__ == "__main__":
    routes = [Route("/evaluate", evaluate, methods=["POST"]), Route("/constant", constant, methods=["POST"])]
    uvicorn.run(
        Starlette(routes=routes),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        server_header=False,
    )
