"""Streams, datagrams and names on loopback: what goes through, and how every wait ends."""

import asyncio
import hashlib
import socket
import sys
import time
from asyncio import core

import net
from harness import eq, raises, raises_async
from net_stream import TlsError
from tasks import tls_server
from tasks.fake_store import free_port, listen

HOST = "127.0.0.1"


async def nothing(reader, writer):
    """Accept the connection and leave it alone, at most until the test's loop ends."""
    try:
        await asyncio.sleep_ms(5000)
    except asyncio.CancelledError:
        return


async def connected(handler):
    """A stream to a new server, and the server."""
    server, port = await listen(handler)
    return await net.connect((HOST, port), timeout_ms=2000), server


def no_waits_left():
    if sys.implementation.name == "micropython":
        eq(core._io_queue.map, {}, "left in the poll set")


async def test_bytes_go_both_ways():
    async def echo(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    stream, server = await connected(echo)
    eq(stream.read_ready(bytearray(1)), None)
    await stream.write(b"hello\nrest", 6)
    reply = bytearray(20)
    n = await stream.readinto(memoryview(reply), 2000)
    eq(bytes(reply[:n]), b"hello\n")
    eq(await stream.readinto(reply, 2000), 0, "end of the stream")
    eq(stream.read_ready(reply), 0)
    stream.close()
    server.close()


async def test_large_writes_arrive_whole():
    """The reader is slow, so the writer has to wait for room again and again."""
    data = memoryview(bytes(range(251)) * 40)
    rounds = 600
    digest, received = hashlib.md5(), 0

    async def sip(reader, writer):
        nonlocal received
        while True:
            piece = await reader.read(65536)
            if not piece:
                return
            digest.update(piece)
            received += len(piece)

    stream, server = await connected(sip)
    expected = hashlib.md5()
    for _ in range(rounds):
        expected.update(data)
        await stream.write(data, timeout_ms=5000)
    stream.close()
    while received < rounds * len(data):
        await asyncio.sleep_ms(1)
    eq(digest.digest(), expected.digest())
    server.close()


async def test_write_misses_its_deadline():
    stream, server = await connected(nothing)
    block = bytearray(65536)
    try:
        for _ in range(1000):
            await stream.write(block, timeout_ms=100)
        raise AssertionError("65 MB went nowhere")
    except asyncio.TimeoutError:
        await raises_async(asyncio.TimeoutError, stream.write(block))
    server.close()


async def test_read_misses_its_deadline():
    stream, server = await connected(nothing)
    start = time.ticks_ms()
    await raises_async(asyncio.TimeoutError, stream.readinto(bytearray(1), 100))
    assert time.ticks_diff(time.ticks_ms(), start) < 1000
    await raises_async(asyncio.TimeoutError, stream.readinto(bytearray(1), 100))
    server.close()


async def test_lifetime_ends_a_wait_with_a_later_deadline():
    stream, server = await connected(nothing)
    stream.expire_in(100)
    await raises_async(asyncio.TimeoutError, stream.readinto(bytearray(1), 60000))
    server.close()


async def test_no_deadline_no_effect():
    """Deadlines of waits that ended in time do not close the stream later."""

    async def tick(reader, writer):
        for _ in range(4):
            await asyncio.sleep_ms(150)
            writer.write(b".")
            await writer.drain()
        await nothing(reader, writer)

    stream, server = await connected(tick)
    for _ in range(4):
        eq(await stream.readinto(bytearray(1), 600), 1)
    stream.close()
    server.close()


async def test_refused_port():
    await raises_async(OSError, net.connect((HOST, free_port()), timeout_ms=2000))


async def test_connecting_misses_its_deadline():
    """A listener that accepts nobody leaves those unanswered who find its queue full."""
    listener, port = socket.socket(), free_port()
    listener.bind(socket.getaddrinfo(HOST, port)[0][-1])
    listener.listen(0)
    streams = []
    try:
        for _ in range(20):
            streams.append(await net.connect((HOST, port), timeout_ms=200))
        raise AssertionError("the queue is never full")
    except asyncio.TimeoutError:
        no_waits_left()
    for stream in streams:
        stream.close()
    listener.close()


async def test_names_are_not_for_connect():
    error = await raises_async(OSError, net.connect(("localhost", 80), timeout_ms=100))
    eq(error.args[0], -2)


async def test_close_wakes_who_waits():
    stream, server = await connected(nothing)
    reader = asyncio.create_task(stream.readinto(bytearray(1), 60000))
    await asyncio.sleep_ms(10)
    stream.close()
    stream.close()
    await raises_async(OSError, reader)
    await raises_async(OSError, stream.write(b"x"))
    raises(OSError, stream.read_ready, bytearray(1))
    server.close()


async def test_new_connection_does_not_inherit_a_wait():
    """The system gives the number of a closed socket to the next one at once."""
    server, port = await listen(nothing)
    first = await net.connect((HOST, port), timeout_ms=2000)
    reader = asyncio.create_task(first.readinto(bytearray(1), 60000))
    await asyncio.sleep_ms(10)
    first.close()
    second = await net.connect((HOST, port), timeout_ms=2000)
    await raises_async(OSError, reader)
    await raises_async(asyncio.TimeoutError, second.readinto(bytearray(1), 100))
    server.close()


async def fill(stream):
    while True:
        await stream.write(bytearray(65536), timeout_ms=60000)


async def test_cancelled_reader_does_not_strand_the_writer():
    stream, server = await connected(nothing)
    writer = asyncio.create_task(fill(stream))
    reader = asyncio.create_task(stream.readinto(bytearray(1), 60000))
    await asyncio.sleep_ms(100)
    reader.cancel()
    await raises_async(asyncio.CancelledError, reader)
    await raises_async(OSError, asyncio.wait_for_ms(writer, 2000))
    server.close()


async def test_cancelled_writer_does_not_strand_the_reader():
    stream, server = await connected(nothing)
    writer = asyncio.create_task(fill(stream))
    reader = asyncio.create_task(stream.readinto(bytearray(1), 60000))
    await asyncio.sleep_ms(100)
    writer.cancel()
    await raises_async(asyncio.CancelledError, writer)
    await raises_async(OSError, asyncio.wait_for_ms(reader, 2000))
    server.close()


async def test_both_cancelled_at_once():
    stream, server = await connected(nothing)
    tasks = [asyncio.create_task(stream.readinto(bytearray(1))), asyncio.create_task(fill(stream))]
    await asyncio.sleep_ms(100)
    for task in tasks:
        task.cancel()
    for task in tasks:
        await raises_async(asyncio.CancelledError, task)
    server.close()


class Datagrams:
    """A UDP server: `answer(request)` gives the reply, or None for silence."""

    def __init__(self, answer):
        self.address = (HOST, free_port())
        self.requests = 0
        self._answer = answer
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(socket.getaddrinfo(*self.address)[0][-1])
        self._sock.setblocking(False)
        self._task = asyncio.create_task(self._serve())

    async def _serve(self):
        while True:
            await asyncio.sleep_ms(1)
            try:
                request, client = self._sock.recvfrom(512)
            except OSError:
                continue  # nothing there yet
            self.requests += 1
            reply = self._answer(request)
            if reply is not None:
                self._sock.sendto(reply, client)

    def close(self):
        self._task.cancel()
        self._sock.close()


async def test_udp_exchange():
    server = Datagrams(lambda request: b"re:" + request)
    eq(await net.udp_exchange(server.address, b"ping", timeout_ms=2000), b"re:ping")
    eq(await net.udp_exchange(server.address, b"ping", timeout_ms=2000, reply_bytes=4), b"re:p")
    server.close()


async def test_udp_silence():
    server = Datagrams(lambda request: None)
    exchange = net.udp_exchange(server.address, b"ping", timeout_ms=100)
    await raises_async(asyncio.TimeoutError, exchange)
    server.close()


def reply_with(*address):
    """A name server's answer function: these four numbers for every name."""

    def answer(query):
        record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04" + bytes(address)
        return query[:2] + b"\x81\x80\0\x01\0\x01\0\0\0\0" + query[12:] + record

    return answer


def refuse(query):
    return query[:2] + b"\x81\x83\0\x01\0\0\0\0\0\0" + query[12:]


async def resolve(host, cache, *servers, timeout_ms=1000):
    addresses = [server.address for server in servers]
    return await net.resolve(host, cache=cache, dns_servers=addresses, timeout_ms=timeout_ms)


async def test_addresses_and_localhost_need_no_server():
    eq(await resolve("10.1.2.3", {}), "10.1.2.3")
    eq(await resolve("localhost", {}), HOST)


async def test_names_are_asked_for_and_remembered():
    server = Datagrams(reply_with(10, 0, 0, 7))
    cache = {}
    eq(await resolve("broker.example", cache, server), "10.0.0.7")
    eq(cache, {"broker.example": "10.0.0.7"})
    server._answer = reply_with(10, 0, 0, 8)
    eq(await resolve("broker.example", cache, server), "10.0.0.8", "asked again")
    server.close()


async def test_next_server_when_one_is_silent_or_wrong():
    servers = [Datagrams(a) for a in (lambda query: None, lambda query: b"?", refuse)]
    good = Datagrams(reply_with(10, 0, 0, 7))
    eq(await resolve("broker.example", {}, *servers, good, timeout_ms=800), "10.0.0.7")
    for server in servers:
        eq(server.requests, 1)
        server.close()
    good.close()


async def test_last_good_address_serves_while_no_server_answers():
    server = Datagrams(lambda query: None)
    cache = {"broker.example": "10.0.0.7"}
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep_ms(5)

    ticker = asyncio.create_task(tick())
    eq(await resolve("broker.example", cache, server, timeout_ms=200), "10.0.0.7")
    eq(server.requests, 2, "asked twice before giving up")
    assert ticks > 10, "the loop was blocked: %d ticks" % ticks
    ticker.cancel()
    server.close()


async def test_unknown_name():
    server = Datagrams(refuse)
    error = await raises_async(OSError, resolve("broker.example", {}, server))
    eq(error.args[0], -2)
    await raises_async(OSError, resolve("broker.example", {}))
    await raises_async(OSError, resolve("bad..name", {}, server))
    server.close()


async def test_dead_name_server_is_no_obstacle():
    """Nobody listens there, so the system itself refuses the datagram."""
    cache = {"broker.example": "10.0.0.7"}
    servers = ((HOST, free_port()),)
    address = await net.resolve("broker.example", cache=cache, dns_servers=servers, timeout_ms=200)
    eq(address, "10.0.0.7")


async def test_cache_is_bounded():
    server = Datagrams(reply_with(10, 0, 0, 7))
    cache = {}
    for number in range(20):
        await resolve("host%d.example" % number, cache, server)
    assert len(cache) <= 8, len(cache)
    eq(cache["host19.example"], "10.0.0.7")
    server.close()


class TlsEcho:
    """A TLS server that echoes one line; `received` is all that came through."""

    def __init__(self):
        self.received = b""
        self.has_ended = False

    async def _serve(self, reader, writer):
        try:
            self.received = await reader.readline()
            writer.write(self.received)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except OSError:
            return  # no handshake, no line
        finally:
            self.has_ended = True

    async def start(self, certificate):
        context = tls_server.context(certificate)
        self._server, self.port = await listen(self._serve, ssl=context)
        return self

    async def connect(self, *authorities, name="localhost"):
        context = net.make_tls_context(*authorities)
        return await net.connect(
            (HOST, self.port), tls=context, server_hostname=name, timeout_ms=2000
        )

    def close(self):
        self._server.close()


async def test_tls_exchange():
    echo = await TlsEcho().start(tls_server.SERVER)
    stream = await echo.connect(tls_server.OTHER_CA, tls_server.CA)
    line = 9000 * b"x" + b"\n"
    await stream.write(line, timeout_ms=5000)
    reply, got = bytearray(len(line)), 0
    while got < len(line):
        n = await stream.readinto(memoryview(reply)[got:], 5000)
        assert n, "ended after %d bytes" % got
        got += n
    eq(bytes(reply), line)
    stream.close()
    echo.close()


async def _refused(certificate, *authorities, name="localhost"):
    """A TLS server that must not be talked to."""
    echo = await TlsEcho().start(certificate)
    stream = await echo.connect(*authorities, name=name)
    error = await raises_async(TlsError, stream.write(b"secret\n", timeout_ms=2000))
    assert error.is_certificate, error
    stream.close()
    while not echo.has_ended and sys.implementation.name == "micropython":
        await asyncio.sleep_ms(1)
    eq(echo.received, b"")
    echo.close()


async def test_tls_unknown_authority():
    await _refused(tls_server.SERVER, tls_server.OTHER_CA)


async def test_tls_no_authority():
    await _refused(tls_server.SERVER)


async def test_tls_wrong_host():
    await _refused(tls_server.SERVER, tls_server.CA, name="example.org")


async def test_tls_expired():
    await _refused(tls_server.EXPIRED, tls_server.CA)


async def test_tls_needs_a_name():
    echo = await TlsEcho().start(tls_server.SERVER)
    await raises_async(OSError, echo.connect(tls_server.CA, name=None))
    echo.close()


async def test_tls_with_a_server_that_speaks_none():
    async def greet(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await nothing(reader, writer)

    server, port = await listen(greet)
    context = net.make_tls_context(tls_server.CA)
    stream = await net.connect((HOST, port), tls=context, server_hostname="x", timeout_ms=2000)
    error = await raises_async(TlsError, stream.write(b"secret", timeout_ms=2000))
    assert not error.is_certificate, error
    stream.close()
    server.close()


async def test_tls_handshake_misses_its_deadline():
    server, port = await listen(nothing)
    context = net.make_tls_context(tls_server.CA)
    stream = await net.connect((HOST, port), tls=context, server_hostname="x", timeout_ms=2000)
    await raises_async(asyncio.TimeoutError, stream.write(b"secret", timeout_ms=100))
    server.close()


async def test_tls_server_that_hangs_up():
    async def hang_up(reader, writer):
        await reader.read(10)
        writer.close()
        await writer.wait_closed()

    server, port = await listen(hang_up)
    context = net.make_tls_context(tls_server.CA)
    stream = await net.connect((HOST, port), tls=context, server_hostname="x", timeout_ms=2000)
    error = await raises_async(OSError, stream.write(b"secret", timeout_ms=2000))
    assert not isinstance(error, TlsError), "a lost connection is no fault of TLS: %s" % error
    stream.close()
    server.close()
