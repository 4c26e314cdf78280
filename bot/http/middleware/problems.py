"""Builds the error responses outside `/ofrep`: `{"code", "message", "hint"}` with the right status."""

from typing import Any

from starlette.responses import JSONResponse

from bot.http.middleware.auth import AccessDenied
from core.rollout.refusal import Conflict, NotFound, Refused


def build_problem(
    status: int, code: str, message: str, hint: str = "", *, headers: dict[str, str] | None = None, **more: Any
) -> JSONResponse:
    """An error response: what went wrong, and what to do next."""
    return JSONResponse({"code": code, "message": message, "hint": hint, **more}, status, headers)


def advise_repeat(key: str, *, was_written: bool | None, is_read: bool = False) -> str:
    """The hint for a request that was not carried out, or of which nobody knows (`was_written` is None), by whether it
    came with an Idempotency-Key."""
    if key and not is_read:
        return "Send it again with the same Idempotency-Key, so that it counts only once."
    if is_read or was_written is False:
        return "Send it again."
    return (
        "See first whether it was done: it had no Idempotency-Key, so that the same sent again may be done twice. "
        "With one, send it as often as needed."
    )


def build_refusal(refused: Refused) -> JSONResponse:
    """The response to a refusal of the core; with `earliest`, if the same command would be accepted later."""
    more: dict[str, Any] = {"earliest": refused.earliest.isoformat()} if refused.earliest else {}
    return build_problem(_find_status(refused), refused.code, refused.message, refused.hint, **more)


def build_denial(denied: AccessDenied, *, cross_origin: bool = False) -> JSONResponse:
    """The response to a denied request; a 401 makes a browser ask for the token as a password. `cross_origin`: pages of
    other sites may read it."""
    headers: dict[str, str] = {"Access-Control-Allow-Origin": "*"} if cross_origin else {}
    if denied.retry_after is not None:
        headers["Retry-After"] = str(denied.retry_after)
    response = build_problem(denied.status, denied.code, denied.message, denied.hint, headers=headers)
    if denied.status == 401:  # a header each: Chromium reads only the first challenge of one
        response.headers.append("WWW-Authenticate", "Bearer")
        response.headers.append("WWW-Authenticate", 'Basic realm="Rampart"')
    return response


def _find_status(refused: Refused) -> int:
    match refused:
        case NotFound():
            return 404
        case Conflict():
            return 409
        case _:
            return {"forbidden": 403, "not_found": 404, "invalid": 422, "unreadable": 422}.get(refused.code, 409)
