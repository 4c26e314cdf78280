"""Where a process listens: a socket on the host and port of the settings, and its URL."""

import socket


def bind_socket(host: str, port: int) -> socket.socket:
    """A socket bound to the configured host and port; OSError, with advice, if the address is taken."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        where = f"{host}:{port}"
        raise OSError(f"Cannot listen on {where}: {error.strerror}. Choose another with HOST and PORT.") from error
    return listening


def format_base_url(listening: socket.socket) -> str:
    """The URL at which a listening socket is reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
