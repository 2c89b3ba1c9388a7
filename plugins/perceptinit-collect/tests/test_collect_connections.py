"""`perceptinit collect`: silent or slow connections do not prevent others from answering."""

import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from made_studies import make_study, open_study
from perceptinit_collect import connections, limits
from perceptinit_collect.limits import is_local, peer_of

HEAD = b"POST /begin HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n"


@pytest.fixture
def site(tmp_path):
    with open_study(make_study(tmp_path)) as made:
        yield made


def open_socket(site):
    where = urlsplit(site.address)
    return socket.create_connection((where.hostname, where.port), timeout=10)


def is_closed(client):
    """Wait until a connection is closed, and discard data that arrives before that."""
    try:
        while client.recv(4096):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTT", HEAD, HEAD + b"content-length: 9\r\n\r\nagree"],
    ids=["silent", "first line", "headers", "body"],
)  # fmt: skip
def test_an_incomplete_request_is_closed(site, monkeypatch, sent):
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.3)
    with open_socket(site) as client:
        client.sendall(sent)
        assert is_closed(client)


def trickle(client, seconds):
    """Send single bytes at intervals; OSError once the connection is closed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client.sendall(b"x")
        time.sleep(0.05)


@pytest.mark.parametrize("sent", [b"", HEAD + b"content-length: 90\r\n\r\n"], ids=["headers", "body"])
def test_single_bytes_do_not_extend_the_time_of_a_request(site, monkeypatch, sent):
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    with open_socket(site) as client:
        client.sendall(sent)
        with pytest.raises(OSError, match=r"reset|[Bb]roken"):
            trickle(client, seconds=4)  # the body would be complete after 4.5 s


def test_a_session_may_pause_longer_than_the_request_timeout(site, monkeypatch):
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 1.0)
    visitor = site.begun()
    connection = visitor._connection.sock
    time.sleep(1.5)
    assert visitor.answer(0)[0] == 200
    assert visitor._connection.sock is connection


def test_an_unread_reply_is_aborted(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "WRITE_SECONDS", 0.3)
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        visitor = site.begun()
        key = visitor.state()["trials"][0]["anchor"]
        image = next(p for p in site.study.design.images if p.key == key)
        (folder / "images" / image.name).write_bytes(b"x" * 50_000_000)
        with open_socket(site) as client:
            head = f"GET /image/{key} HTTP/1.1\r\nhost: localhost\r\ncookie: {visitor._cookie}\r\n\r\n"
            client.sendall(head.encode())
            time.sleep(3)
            assert is_closed(client)
        assert visitor.answer(0)[0] == 200


def test_clients_that_do_not_read_do_not_lock_others_out(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 12)
    monkeypatch.setattr(connections, "STALLED_SECONDS", 1.0)
    folder = make_study(tmp_path)
    with open_study(folder) as site, ExitStack() as stack:
        visitor = site.begun()
        key = visitor.state()["trials"][0]["anchor"]
        image = next(p for p in site.study.design.images if p.key == key)
        (folder / "images" / image.name).write_bytes(b"x" * 50_000_000)
        head = f"GET /image/{key} HTTP/1.1\r\nhost: localhost\r\ncookie: {visitor._cookie}\r\n\r\n"
        for _ in range(11):
            stack.enter_context(open_socket(site)).sendall(head.encode())
        time.sleep(2.5)
        newcomers = [site.begun() for _ in range(8)]
        assert [newcomer.answer(0)[0] for newcomer in newcomers] == [200] * 8
        assert visitor.answer(0)[0] == 200


def test_an_image_larger_than_a_piece_is_sent_whole(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        visitor = site.begun()
        key = visitor.state()["trials"][0]["anchor"]
        image = next(p for p in site.study.design.images if p.key == key)
        data = bytes(range(256)) * 1000
        (folder / "images" / image.name).write_bytes(data)
        assert visitor.get(f"/image/{key}") == data


def test_idle_connections_are_closed_before_active_ones(site, monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 20)
    visitor = site.begun()
    kept = visitor._connection.sock
    with ExitStack() as stack:
        silent = [stack.enter_context(open_socket(site)) for _ in range(60)]
        assert visitor.answer(0)[0] == 200
        assert visitor._connection.sock is kept  # connections that never sent a request are closed first
        newcomer = site.begun()
        assert newcomer.answer(0)[0] == 200
        assert is_closed(silent[0])


def test_a_peer_has_a_limited_number_of_connections(site, monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS_PER_PEER", 3)
    monkeypatch.setattr(connections, "is_local", lambda peer: False)
    with ExitStack() as stack:
        clients = [stack.enter_context(open_socket(site)) for _ in range(4)]
        assert is_closed(clients[3])
        clients[0].sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert clients[0].recv(100).startswith(b"HTTP/1.1 200")


def begin_of(peer):
    """Return the head of a proxied request without its body."""
    return HEAD + f"x-forwarded-for: {peer}\r\ncontent-length: 9\r\n\r\n".encode()


def begin_from(stack, site, peer):
    """Start a session as a peer behind a proxy and return the status."""
    client = stack.enter_context(open_socket(site))
    client.sendall(begin_of(peer) + b"agree=yes")
    return client.recv(100).split()[1]


def test_a_peer_behind_a_proxy_has_a_limited_number_of_requests(site, monkeypatch):
    monkeypatch.setattr(limits, "MAX_REQUESTS_PER_PEER", 2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(open_socket(site)).sendall(begin_of("203.0.113.5"))
        for _ in range(20):  # until the server has seen both
            if (reply := begin_from(stack, site, "203.0.113.5")) == b"429":
                break
            time.sleep(0.1)
        assert (reply, begin_from(stack, site, "203.0.113.6")) == (b"429", b"303")


def test_starts_are_limited_by_the_address_that_the_proxy_reports(tmp_path):
    with open_study(make_study(tmp_path), begins_per_minute=1) as site, ExitStack() as stack:
        replies = [begin_from(stack, site, f"203.0.113.{number}") for number in (5, 6, 5)]
    assert replies == [b"303", b"303", b"429"]


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("not an address", "not an address"),
    ],
)
def test_a_peer_is_an_address_or_a_network_of_one_subscriber(host, peer):
    assert peer_of((host, 1)) == peer


def test_local_peers_have_no_connection_limit():
    assert [is_local(peer_of((host, 1))) for host in ("127.0.0.1", "::1", "203.0.113.5")] == [
        True,
        True,
        False,
    ]
