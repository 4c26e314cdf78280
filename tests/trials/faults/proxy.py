"""A line to Postgres that can be cut in the middle of a commit, or fall silent."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from sqlalchemy import make_url

Cut = Literal["before", "after"]
"""`before` the server gets the message, or `after` it got it and before its answer comes back."""
_SOCKET = ".s.PGSQL.5432"


class Line:
    """Forwards a Unix socket of its own, or a port that is found by name, to the socket of a server. `url` leads
    through it. Close it to end every thread."""

    def __init__(self, url: str, folder: Path, *, by_name: bool = False) -> None:
        server = make_url(url)
        self._server = str(Path(str(server.query["host"])) / _SOCKET)
        if by_name:
            self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
            port = self._listening.getsockname()[1]
            found = server.difference_update_query(["host"]).set(host="localhost", port=port)
        else:
            self._listening = socket.socket(socket.AF_UNIX)
            self._listening.bind(str(folder / _SOCKET))
            self._listening.listen(64)
            found = server.update_query_dict({"host": str(folder)})
        self.url = found.render_as_string(hide_password=False)
        self._flowing = threading.Event()
        self._flowing.set()
        self._closed = False
        self._lock = threading.Lock()
        self._cut: tuple[Cut, bytes, int] | None = None
        self.cuts = 0
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, name="line", daemon=True).start()

    def cut(self, when: Cut, word: bytes = b"COMMIT", *, times: int = 1) -> None:
        """Cut the connection that next says `word`."""
        with self._lock:
            self._cut = (when, word, times)

    def fall_silent(self) -> None:
        """Nothing goes either way any more, and nobody is told."""
        self._flowing.clear()

    def lead_to(self, url: str) -> None:
        """From now on to another server, as an address does after a failover; what is open is hung up."""
        with self._lock:
            self._server = str(Path(str(make_url(url).query["host"])) / _SOCKET)
            for one in self._open:
                _hang_up(one)

    def speak(self) -> None:
        """Go on with what was held back."""
        self._flowing.set()

    @contextmanager
    def silent(self) -> Iterator[None]:
        self.fall_silent()
        try:
            yield
        finally:
            self.speak()

    def close(self) -> None:
        self._closed = True
        self.speak()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            for one in self._open:
                one.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listening.accept()
            except OSError:
                continue  # closed
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._server)
            except OSError:
                client.close()  # the server is away: the client sees its connection end
                server.close()
                continue
            with self._lock:
                self._open |= {client, server}
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(one, other, one is client), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, to_server: bool) -> None:
        try:
            while data := source.recv(65536):
                self._flowing.wait()
                match self._cut_now(data) if to_server else None:
                    case "before":
                        break
                    case "after":
                        _hang_up(source)  # first, so that no answer can come through
                        target.sendall(data)
                        return  # the server's end stays until it has answered into the void
                    case _:
                        target.sendall(data)
        except OSError:
            pass  # one of the two has gone
        _hang_up(source)
        _hang_up(target)

    def _cut_now(self, data: bytes) -> Cut | None:
        with self._lock:
            if self._cut is None or self._cut[1] not in data:
                return None
            when, word, left = self._cut
            self._cut = (when, word, left - 1) if left > 1 else None
            self.cuts += 1
            return when


def _hang_up(one: socket.socket) -> None:
    with suppress(OSError):  # it is closed
        one.shutdown(socket.SHUT_RDWR)
