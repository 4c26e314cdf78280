"""The way out: only where it may lead, to the address that was looked at, once, and not for long."""

import itertools
import select
import socket
import ssl
import time
import traceback
from contextlib import ExitStack, contextmanager

import pytest

from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure, RetryLater
from bot.outbound.transport import MAX_RESPONSE_BYTES, resolve_host

HOST = "flags.example.test"
TOKEN = "user:a-secret-token"
QUICK = 0.3  # seconds


class Names:
    """A resolver that gives one answer after the other, and the last one for ever."""

    def __init__(self, *answers):
        self.asked = []
        self._answers = itertools.chain(answers, itertools.repeat(answers[-1]))

    def __call__(self, host, port):
        self.asked.append(host)
        return next(self._answers)


LOOPBACK = ("127.0.0.1",)


def get(door, url, **headers):
    return door.call("GET", url, {"Authorization": TOKEN, **headers})


@pytest.fixture
def to_loopback(certificates):
    """A door for which the host is this machine, and meant to be."""
    return lambda **options: OutboundClient(
        {HOST}, resolve=Names(LOOPBACK), load_tls=lambda: certificates.trusted, **options
    )


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::127.0.0.1]",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "0",
        "10.0.0.7",
        "100.64.0.1",
        "224.0.0.1",
    ],
)
def test_no_spelling_of_an_inner_address_is_called(serving, answering, host):
    server = serving(answering())
    with pytest.raises(PermanentFailure, match="not a public internet address: if that is intended, name the host in"):
        get(OutboundClient(timeout=QUICK), f"https://{host}:{server.port}/")
    assert server.requests == []


def test_a_name_that_leads_inside_is_not_called(serving, answering):
    server = serving(answering())
    names = Names(LOOPBACK)
    with pytest.raises(
        PermanentFailure, match=r"flags\.example\.test is 127\.0\.0\.1, which is not a public internet address"
    ):
        get(OutboundClient(resolve=names), f"https://{HOST}:{server.port}/")
    assert server.requests == []


def test_one_inner_address_among_others_is_enough(serving):
    for mixed in (("8.8.8.8", "127.0.0.1"), ("127.0.0.1", "8.8.8.8"), ("2606:4700::1111", "fd00::1")):
        with pytest.raises(PermanentFailure, match="public internet"):
            get(OutboundClient(resolve=Names(mixed)), f"https://{HOST}/")


def test_the_name_is_asked_for_once_and_what_it_says_later_does_not_count(serving, answering, certificates):
    """DNS rebinding: between looking and connecting the name begins to mean something else."""
    meant = serving(answering(b'"meant"'), tls=certificates.of(HOST))
    names = Names(LOOPBACK, ("127.0.0.2",), ("169.254.169.254",))
    door = OutboundClient({HOST}, resolve=names, load_tls=lambda: certificates.trusted)
    assert get(door, f"https://{HOST}:{meant.port}/").body == b'"meant"'
    assert names.asked == [HOST]
    assert len(meant.requests) == 1
    rebound = Names(LOOPBACK, ("8.8.8.8",))
    with pytest.raises(PermanentFailure, match="public internet"):
        get(OutboundClient(resolve=rebound), f"https://{HOST}:{meant.port}/")
    assert rebound.asked == [HOST]


def test_the_next_address_is_tried_where_the_first_takes_nobody(serving, answering, certificates):
    server = serving(answering(), tls=certificates.of(HOST))
    door = OutboundClient({HOST}, resolve=Names(("127.0.0.3", "127.0.0.1")), load_tls=lambda: certificates.trusted)
    assert get(door, f"https://{HOST}:{server.port}/").status == 200


@contextmanager
def silent_at(address: str, port: int):
    """Whoever connects there waits: the queue of those who are not let in yet is full."""
    with socket.create_server((address, port), backlog=0), ExitStack() as waiting:
        for _ in range(3):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex((address, port))
        yield


def test_the_next_address_is_tried_where_the_first_is_silent(serving, answering):
    server = serving(answering())
    there = ["127.0.0.1"] * 19  # often enough that the silent one gets a twentieth of the time, and the answer the rest
    with silent_at("127.0.0.3", server.port):
        door = OutboundClient({HOST}, resolve=Names(("127.0.0.3", *there)), timeout=QUICK * 40)
        assert get(door, f"http://{HOST}:{server.port}/").status == 200


def test_host_header_and_certificate_are_those_of_the_name(serving, answering, certificates, to_loopback):
    asked = []
    context = certificates.of(HOST)
    context.sni_callback = lambda _connection, name, _context: asked.append(name)
    server = serving(answering(), tls=context)
    get(to_loopback(), f"https://{HOST}:{server.port}/api")
    assert asked == [HOST]
    head = server.requests[0].decode()
    assert head.startswith("GET /api HTTP/1.1\r\n")
    assert f"Host: {HOST}:{server.port}\r\n" in head
    assert f"Authorization: {TOKEN}\r\n" in head
    other = serving(answering(), tls=certificates.of("other.example.test"))
    with pytest.raises(RetryLater, match="certificate verify failed"):
        get(to_loopback(), f"https://{HOST}:{other.port}/")
    assert other.requests == []


def test_a_certificate_that_nobody_vouches_for_is_refused(serving, answering, certificates):
    server = serving(answering(), tls=certificates.of(HOST))
    with pytest.raises(RetryLater, match="certificate verify failed"):
        get(OutboundClient({HOST}, resolve=Names(LOOPBACK)), f"https://{HOST}:{server.port}/")
    assert server.requests == []


def test_an_authority_of_your_own_is_taken_from_the_environment(serving, answering, certificates, monkeypatch):
    from bot.outbound import transport

    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.folder / "ca.pem"))
    transport._load_authorities.cache_clear()
    try:
        server = serving(answering(), tls=certificates.of(HOST))
        assert get(OutboundClient({HOST}, resolve=Names(LOOPBACK)), f"https://{HOST}:{server.port}/").status == 200
    finally:
        transport._load_authorities.cache_clear()


def test_plain_http_is_only_for_hosts_that_are_named(serving, answering):
    server = serving(answering())
    with pytest.raises(PermanentFailure, match="write https, or name it in ALLOW_PRIVATE_HOSTS"):
        get(OutboundClient(), f"http://127.0.0.1:{server.port}/")
    with pytest.raises(PermanentFailure, match="write https"):
        get(OutboundClient({"elsewhere"}), f"http://127.0.0.1:{server.port}/")
    assert server.requests == []
    assert get(OutboundClient({"127.0.0.1"}), f"http://127.0.0.1:{server.port}/").status == 200


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "127.0.0.1", ""])
def test_nothing_else_is_spoken(url):
    with pytest.raises(PermanentFailure):
        get(OutboundClient({"127.0.0.1"}), url)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed(serving, answering, status):
    inner = serving(answering(b'"secret"'))
    server = serving(answering(b"", status, f"Location: http://127.0.0.1:{inner.port}/latest/meta-data"))
    with pytest.raises(PermanentFailure, match=f"redirect \\({status[:3]}\\), and redirects are not followed"):
        get(OutboundClient({"127.0.0.1"}), f"http://127.0.0.1:{server.port}/")
    assert inner.requests == []


def test_no_proxy_of_the_environment_is_used(serving, answering, monkeypatch):
    proxy, server = serving(answering(b'"proxy"')), serving(answering(b'"direct"'))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert get(OutboundClient({"127.0.0.1"}), f"http://127.0.0.1:{server.port}/").body == b'"direct"'
    assert proxy.requests == []


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


def announced(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * (MAX_RESPONSE_BYTES + 1))


def zipped(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")


@pytest.mark.parametrize("body", [endless, announced])
def test_a_body_without_end_is_given_up(serving, body):
    server = serving(body)
    with pytest.raises(PermanentFailure, match="more than 256 KB"):
        get(OutboundClient({"127.0.0.1"}), f"http://127.0.0.1:{server.port}/")


def test_a_small_body_stays_small(serving):
    server = serving(zipped)
    assert get(OutboundClient({"127.0.0.1"}), f"http://127.0.0.1:{server.port}/").body == b"abc"
    assert b"accept-encoding: identity" in server.requests[0].lower()


def trickle(*parts: bytes):
    """A byte now and then until the caller hangs up: no single wait is long."""

    def answer(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
        while not is_readable(connection, within=QUICK / 10):
            connection.sendall(b"a")

    return answer


def is_readable(connection: socket.socket, within: float) -> bool:
    """Whether something comes in so many seconds: of a caller that has sent all, only that it has hung up."""
    return bool(select.select([connection], [], [], within)[0])


def say_nothing(connection: socket.socket) -> None:
    """Until the caller hangs up."""
    while connection.recv(65536):
        pass


@pytest.mark.parametrize(
    "slow",
    [
        say_nothing,
        trickle(b"HTTP/1.1 200 OK\r\nX: "),
        trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
    ],
    ids=["silent", "headers", "body"],
)
def test_a_slow_answer_is_given_up_as_a_whole(serving, slow):
    server = serving(slow)
    with pytest.raises(RetryLater, match=r"127\.0\.0\.1 did not answer within 0\.3 s"):
        get(OutboundClient({"127.0.0.1"}, timeout=QUICK), f"http://127.0.0.1:{server.port}/")


def test_a_slow_handshake_is_given_up(serving):
    """The other side takes the connection and never says a word of TLS."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(RetryLater, match="did not answer within"):
        get(OutboundClient({"127.0.0.1"}, timeout=QUICK), f"https://127.0.0.1:{silent.getsockname()[1]}/")


def test_a_slow_resolver_leaves_no_time_to_connect(serving, answering):
    server = serving(answering())

    def slow(host, port):
        late = time.monotonic() + QUICK  # the call has begun before, so that its deadline is no later than this
        while (left := late - time.monotonic()) > 0:
            time.sleep(left)
        return LOOPBACK

    with pytest.raises(RetryLater, match="did not answer within"):
        get(OutboundClient({"127.0.0.1"}, resolve=slow, timeout=QUICK), f"http://127.0.0.1:{server.port}/")
    assert server.requests == []


def hang_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def test_a_connection_that_is_refused_or_cut_can_be_tried_again(serving):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(RetryLater, match=r"127\.0\.0\.1 cannot be reached"):
        get(OutboundClient({"127.0.0.1"}), f"http://127.0.0.1:{port}/")
    with pytest.raises(RetryLater, match=r"127\.0\.0\.1 cannot be reached"):
        get(OutboundClient({"127.0.0.1"}), f"http://127.0.0.1:{serving(hang_up).port}/")


def test_a_name_that_is_not_known_can_be_tried_again():
    def unknown(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(RetryLater, match=r"the address of flags\.example\.test cannot be found"):
        get(OutboundClient(resolve=unknown), f"https://{HOST}/")


@pytest.mark.parametrize("token", ["two-s3cr3t\nlines", "s3cr3t\r\nX-Injected: 1", "s3cr3t\0", "s3cr3t\n"])
def test_a_token_that_cannot_be_sent_is_not_told(serving, answering, token):
    server = serving(answering())
    with pytest.raises(PermanentFailure, match="is the token one line of plain characters") as caught:
        OutboundClient({"127.0.0.1"}).call("GET", f"http://127.0.0.1:{server.port}/", {"Authorization": token})
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))
    assert b"X-Injected" not in b"".join(server.requests)


def test_a_token_with_letters_of_other_languages_is_sent_as_it_is(serving, answering):
    server = serving(answering())
    assert OutboundClient({"127.0.0.1"}).call("GET", f"http://127.0.0.1:{server.port}/", {"Authorization": "schlüssel"})
    assert "Authorization: schlüssel\r\n".encode() in server.requests[0]


def repeat(connection: socket.socket) -> None:
    connection.sendall(f"HTTP/1.1 200 OK\r\nYou sent {TOKEN}\r\n\r\n".encode())


@pytest.mark.parametrize("failing", [endless, hang_up, repeat, lambda c: c.sendall(b"nonsense\r\n\r\n"), None])
def test_no_error_holds_the_token(serving, failing):
    url = f"http://127.0.0.1:{serving(failing).port}/" if failing else "https://127.0.0.1/"
    with pytest.raises((RetryLater, PermanentFailure)) as caught:
        get(OutboundClient({"127.0.0.1"} if failing else ()), url)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


def test_this_machine_s_own_resolver_sees_through_spellings():
    assert (
        resolve_host("2130706433", 443)
        == resolve_host("0x7f.1", 443)
        == resolve_host("0177.0.0.1", 443)
        == ("127.0.0.1",)
    )


def test_the_door_trusts_no_unverified_connection():
    from bot.outbound.transport import _load_authorities

    context = _load_authorities()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
