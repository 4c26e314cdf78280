"""Answers HEAD wherever GET is answered: the same response without its body (RFC 9110, 9.3.2)."""

from bot.http.middleware.bodies import AsgiApp, AsgiMessage, Receive, Scope, Send


def answer_head(inner: AsgiApp) -> AsgiApp:
    """Wrap `inner`, which then only sees GET."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await inner(scope, receive, send)
            return

        async def send_head(message: AsgiMessage) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await inner({**scope, "method": "GET"}, receive, send_head)

    return app
