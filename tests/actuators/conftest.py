"""Small servers on real sockets, which do to a caller what a test wants done; and a house that drives a flag."""

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.service.service import RolloutService
from core.store.audit.verify import verify
from core.store.database.connections import Database, connect
from tests.actuators import stand_in
from tests.actuators.house import House
from tests.actuators.stand_in import StandIn


@dataclass(slots=True)
class Server:
    """`requests` holds what each connection said, up to the end of its headers."""

    port: int
    requests: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Certificates:
    """`trusted` is for callers, `of(name)` for a server that can prove this name to them."""

    folder: Path
    trusted: ssl.SSLContext
    of: Callable[[str], ssl.SSLContext]


@pytest.fixture
def serving() -> Iterator[Callable[..., Server]]:
    """Starts a server that hands every connection, its headers read, to `answer`."""
    ends: list[Callable[[], None]] = []

    def start(answer: Callable[[socket.socket], None], *, tls: ssl.SSLContext | None = None, at: str = "127.0.0.1"):
        listening = socket.create_server((at, 0))
        server = Server(port=listening.getsockname()[1])
        open_: list[socket.socket] = []

        def speak(connection: socket.socket) -> None:
            open_.append(connection)
            with suppress(OSError), connection:  # the caller may hang up, as it should
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
                    open_.append(connection)
                heard = b""
                while b"\r\n\r\n" not in heard and (part := connection.recv(65536)):
                    heard += part
                server.requests.append(heard)
                answer(connection)
                connection.close()

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=speak, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()

        def end() -> None:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            for connection in open_:
                connection.close()
            thread.join(5)

        ends.append(end)
        return server

    yield start
    for end in ends:
        end()


def answering(body: bytes = b"{}", status: str = "200 OK", *headers: str) -> Callable[[socket.socket], None]:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return lambda connection: connection.sendall("\r\n".join(lines).encode() + body)


@pytest.fixture(name="answering")
def _answering() -> Callable[..., Callable[[socket.socket], None]]:
    return answering


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    key = ec.generate_private_key(ec.SECP256R1())
    root = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority for tests")])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    until = begin + datetime.timedelta(days=1)

    def certificate(subject: x509.Name, public, *extensions) -> x509.Certificate:
        draft = x509.CertificateBuilder(root, subject, public, x509.random_serial_number(), begin, until)
        for extension in extensions:
            # Python 3.13 and newer ask for it.
            draft = draft.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        return draft.add_extension(authority, critical=False).sign(key, hashes.SHA256())

    usage = x509.KeyUsage(*[name in {"sign", "certs"} for name in ("sign", "", "", "", "", "certs", "", "", "")])
    identity = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    pem = serialization.Encoding.PEM
    ca = certificate(root, key.public_key(), x509.BasicConstraints(ca=True, path_length=0), usage, identity)
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))

    def of(name: str) -> ssl.SSLContext:
        own = ec.generate_private_key(ec.SECP256R1())
        try:
            alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            alternative = x509.DNSName(name)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = certificate(subject, own.public_key(), x509.SubjectAlternativeName([alternative]))
        file = folder / f"{name}.pem"
        plain = serialization.NoEncryption()
        file.write_bytes(
            own.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem),
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file)
        return context

    return Certificates(folder, ssl.create_default_context(cafile=str(folder / "ca.pem")), of)


@pytest.fixture
def unleash() -> Iterator[StandIn]:
    with stand_in.running() as running:
        yield running


@pytest.fixture
def house(database: Database, unleash: StandIn) -> Iterator[House]:
    """On both databases."""
    house = House(RolloutService(database), unleash)
    yield house
    with database.reading() as connection:
        assert verify(connection).problems == ()


@pytest.fixture
def small_house(sqlite_database: Database, unleash: StandIn) -> House:
    """For what does not concern the database."""
    return House(RolloutService(sqlite_database), unleash)


@pytest.fixture
def second_service(database_url: str) -> Iterator[Callable[[], RolloutService]]:
    """Another process, as far as memory and connections go."""
    opened: list[Database] = []

    def start() -> RolloutService:
        opened.append(connect(database_url))
        return RolloutService(opened[-1])

    yield start
    for database in opened:
        database.close()
