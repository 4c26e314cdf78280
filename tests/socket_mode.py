"""How a Socket Mode client is put away quickly: its own close waits seconds for a read that is blocked."""

import time

from slack_bolt.adapter.socket_mode.builtin import SocketModeHandler

from bot.sandbox.control import Sandbox


def hang_up(handler: SocketModeHandler, sandbox: Sandbox) -> None:
    """Let the sandbox end the connection, and wait until the client's reader has noticed."""
    handler.client.auto_reconnect_enabled = False
    sandbox.drop_socket()
    until = time.monotonic() + 5
    while handler.client.is_connected() and time.monotonic() < until:
        time.sleep(0.005)  # its reader closes the socket; closing it meanwhile from here would race with that
