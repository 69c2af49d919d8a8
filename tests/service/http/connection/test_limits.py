"""How many connections there may be, whose they are, and what becomes of the others."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from service.auth.address import client_address
from service.http.connection.bounds import Bounds
from service.settings import Settings
from tests.service.conftest import Loop, Serve, Service, listening
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.http.connection.conftest import HEALTH, answer, until_closed
from tests.service.images import plain

# One client may have seven of them: an eighth is for the next.
EIGHT = Bounds(max_connections=8, probe_connections=4)
MODELS = b"GET /models HTTP/1.1\r\nHost: a\r\n\r\n"
Open = Callable[..., socket.socket]


@contextlib.contextmanager
def opener(port: int) -> Iterator[Open]:
    """Connections from any address of this machine; one that is counted has an answer first."""
    with contextlib.ExitStack() as stack:

        def one(address: str = "127.0.0.1", *, sent: bytes = HEALTH) -> socket.socket:
            connection = socket.create_connection(
                ("127.0.0.1", port), WAIT_SECONDS, source_address=(address, 0)
            )
            stack.enter_context(connection)
            if sent:
                connection.sendall(sent)
                assert answer(connection).startswith(b"HTTP/1.1 200")
            return connection

        yield one


@pytest.fixture
def connect(service: Service, loop: Loop) -> Iterator[Open]:
    with listening(service.app, EIGHT, loop) as port, opener(port) as connect:
        yield connect


def refused(service: Service, reason: str) -> float:
    return service.sample("resnet_connections_refused_total", reason=reason)


def is_kept(connection: socket.socket) -> bool:
    """Whether a second request is answered on it."""
    connection.sendall(HEALTH)
    return answer(connection).startswith(b"HTTP/1.1 200")


def test_one_client_leaves_room_for_another(service: Service, connect: Open) -> None:
    mine = [connect() for _ in range(7)]
    assert service.sample("resnet_connections") == 7
    connection = connect(sent=b"")
    connection.sendall(MODELS)
    head, _, body = until_closed(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable")
    assert b"connection: close" in head
    assert b"retry-after: 1" in head
    assert b"content-length: %d" % len(body) in head
    problem = json.loads(body)
    assert problem["code"] == "too_many_connections"
    assert problem["detail"] == "This address has its share of 8 connections. Open: 7"
    assert refused(service, "share") == 1
    assert service.sample("resnet_rejections_total", reason="too_many_connections") == 1

    connection.close()
    other = connect("127.0.0.2")
    assert all(map(is_kept, [*mine, other]))
    eventually(lambda: service.sample("resnet_connections") == 8)


def test_a_connection_that_ends_leaves_its_place(service: Service, connect: Open) -> None:
    for _ in range(3):
        mine = [connect() for _ in range(7)]
        assert all(map(is_kept, mine))
        for connection in mine:
            connection.close()
        eventually(lambda: service.sample("resnet_connections") == 0)
    assert refused(service, "share") == 0


@pytest.mark.parametrize("path", [b"/health/live", b"/health/ready"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_health_probes_are_answered_beyond_the_limit(
    connect: Open, method: bytes, path: bytes
) -> None:
    """Once a connection."""
    for _ in range(7):
        connect()
    for _ in range(20):
        connection = connect(sent=b"")
        connection.sendall(b"%b %b HTTP/1.1\r\nHost: a\r\n\r\n" % (method, path))
        received = until_closed(connection)
        assert received.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in received
        assert received.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /health/live HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"GET /healthy HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HEAD /models HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" + bytes(3_000_000),
        MODELS + HEALTH,
    ],
    ids=["POST", "another path", "HEAD", "a large body", "a probe after it"],
)
def test_everything_else_is_refused_beyond_the_limit(connect: Open, sent: bytes) -> None:
    """And the refusal arrives, whatever the client still sends."""
    for _ in range(7):
        connect()
    connection = connect(sent=b"")
    connection.sendall(sent)
    received = until_closed(connection)
    assert received.startswith(b"HTTP/1.1 503")
    assert received.count(b"HTTP/1.1") == 1
    assert received.endswith(b"\r\n\r\n") == sent.startswith(b"HEAD")


def test_silent_connections_beyond_the_limit_take_no_place_from_probes(
    service: Service, connect: Open
) -> None:
    """A new one takes the place of the oldest, which is refused."""
    for _ in range(7):
        connect()
    silent = [connect(sent=b"") for _ in range(30)]
    eventually(lambda: refused(service, "share") == 30)
    assert service.sample("resnet_connections") == 7 + 4
    for connection in silent[:-4]:
        assert until_closed(connection).startswith(b"HTTP/1.1 503")
    for number in range(6):
        probe = connect(sent=b"")
        probe.sendall(HEALTH)
        assert until_closed(probe).startswith(b"HTTP/1.1 200"), number
    # One of them waits for its first byte still: it has the time that all have.
    silent[-1].sendall(HEALTH)
    assert until_closed(silent[-1]).startswith(b"HTTP/1.1 200")


def test_many_clients_find_room_while_there_is_any(service: Service, connect: Open) -> None:
    assert all(map(is_kept, [connect(f"127.0.0.{number}") for number in range(1, 8)]))
    assert service.sample("resnet_connections") == 7
    # None of them may have a second one.
    connection = connect(sent=b"")
    connection.sendall(MODELS)
    assert until_closed(connection).startswith(b"HTTP/1.1 503")


def test_a_client_below_its_share_takes_the_place_of_an_idle_connection(
    service: Service, connect: Open
) -> None:
    """Of the client with the most; of its connections the first that is idle."""
    with service.engine.blocked():
        busy = connect(sent=b"")
        busy.sendall(post(plain("red")))
        service.engine.wait_until_busy()
        uploads = connect(sent=b"")
        uploads.sendall(post(b"x" * 100)[:-1])
        idle = [connect() for _ in range(5)]
        others = [connect(f"127.0.0.{number}") for number in range(2, 5)]
        assert [until_closed(one) for one in idle[:2]] == [b"", b""]
        assert all(map(is_kept, [*idle[2:], *others]))
        service.engine.release()
        assert answer(busy).startswith(b"HTTP/1.1 200")
    uploads.sendall(b"x")
    assert answer(uploads).startswith(b"HTTP/1.1 415")
    assert refused(service, "share") == refused(service, "limit") == 0
    eventually(lambda: service.sample("resnet_connections") == 8)


def post(body: bytes) -> bytes:
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_a_trusted_proxy_has_no_share(serve: Serve) -> None:
    service = serve(trusted_proxies="127.0.0.0/30")
    with listening(service.app, EIGHT) as port, opener(port) as connect:
        proxys = [connect() for _ in range(8)]
        assert all(map(is_kept, proxys))
        connection = connect("127.0.0.9", sent=b"")
        connection.sendall(MODELS)
        assert until_closed(connection).startswith(b"HTTP/1.1 503")
        assert (refused(service, "limit"), refused(service, "share")) == (1, 0)
        for connection in proxys:
            connection.close()
        eventually(lambda: service.sample("resnet_connections") == 0)
        # Its places are there for the others again.
        assert all(map(is_kept, [connect("127.0.0.9") for _ in range(7)]))


def test_what_a_proxy_holds_is_not_shared(serve: Serve) -> None:
    """Sixteen, of which a proxy has eight: another client may have seven of the rest."""
    service = serve(trusted_proxies="127.0.0.2")
    bounds = replace(EIGHT, max_connections=16)
    with listening(service.app, bounds) as port, opener(port) as connect:
        for _ in range(8):
            connect("127.0.0.2")
        for _ in range(7):
            connect()
        connection = connect(sent=b"")
        connection.sendall(MODELS)
        assert until_closed(connection).startswith(b"HTTP/1.1 503")
        assert refused(service, "share") == 1


def test_refusals_share_a_line_of_the_log(connect: Open, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(7):
        connect()
    for _ in range(50):
        connection = connect(sent=b"")
        connection.sendall(MODELS)
        until_closed(connection)
    (line,) = (record.message for record in caplog.records if "beyond" in record.message)
    assert line.startswith("1 connections beyond a limit; the last one: 127.0.0.1: This address")


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
        ("<script>", "unknown"),
    ],
)
def test_whom_an_address_is_counted_for(address: str, client: str) -> None:
    assert client_address(address) == client


@pytest.mark.parametrize(
    ("setting", "connections", "probes"), [(77, 68, 9), (1000, 968, 32), (8, 7, 1), (1, 1, 1)]
)
def test_the_setting_is_the_limit_with_a_part_for_probes(
    setting: int, connections: int, probes: int
) -> None:
    bounds = Bounds.of(Settings.of(max_connections=setting))
    assert (bounds.max_connections, bounds.probe_connections) == (connections, probes)
