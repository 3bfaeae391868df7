"""The camera's MQTT connection: there, or on its way back.

A reader, a writer and a pinger serve one connection. The first that fails ends
all three, and after a jittered pause the next connection is made.

Invariants: one QoS 1 message is on its way at a time, and it stays the head of
the queue until its PUBACK arrives, however many connections that takes. Every
wait on the broker has a deadline. DISCONNECT is never sent, so the broker
publishes the last will however the camera goes away.
"""

import asyncio
from collections import namedtuple

from micropython import const

from backoff import full_jitter
from protocol_error import ProtocolError
from umqtt_codec import CONNACK, PUBACK, SUBACK, Dropped, Message, Reply, encoded

_CHUNK_BYTES = const(256)
_LOST = (OSError, EOFError, asyncio.TimeoutError, ProtocolError)

_Outgoing = namedtuple("_Outgoing", ("topic", "payload", "qos", "retain"))


class MqttLink:
    def __init__(
        self,
        open_stream,
        codec,
        *,
        host,
        port,
        birth,
        queue_limit,
        timeout_ms,
        retry_ms,
        randbits,
        log,
        on_up,
        on_down,
    ):
        """`await open_stream(host, port)` gives a net.Stream; `codec` is an MqttCodec.

        `birth` (topic, payload) is published retained at each connect and undoes
        the last will. `timeout_ms` bounds the connect, each write and each reply,
        `retry_ms` (base, cap) the pause before a new connection. `log(text,
        error=None)`, `on_up()` and `on_down(reason)` are plain callables.
        """
        self._open_stream = open_stream
        self._codec = codec
        self._host = host
        self._port = port
        self._birth = _Outgoing(encoded(birth[0]), encoded(birth[1]), 1, True)
        self._queue_limit = queue_limit
        self._timeout_ms = timeout_ms
        self._base_ms, self._cap_ms = retry_ms
        self._randbits = randbits
        self._log = log
        self._on_up = on_up
        self._on_down = on_down
        self._chunk = memoryview(bytearray(_CHUNK_BYTES))
        self._queue = []
        self._routes = []
        self._subscribed = 0  # how many of the routes this connection has
        self._pid = 0  # of the head of the queue, once it was sent
        self._awaited = None
        self._attempt = 0
        self._replied = asyncio.Event()
        self._wake = asyncio.Event()
        self._up = asyncio.Event()

    @property
    def is_up(self):
        return self._up.is_set()

    async def wait_up(self):
        await self._up.wait()

    def publish(self, topic, payload, qos=0, retain=False):
        """Queue a message; False if it cannot be kept.

        A full queue gives up its oldest QoS 0 message, never one with QoS 1.
        Raises ValueError for what can never be sent: a wildcard, too many bytes.
        """
        topic, payload = encoded(topic), encoded(payload)
        self._codec.check_message(topic, payload)
        if len(self._queue) >= self._queue_limit and not self._drop_oldest():
            return False
        self._queue.append(_Outgoing(topic, payload, qos, retain))
        self._wake.set()
        return True

    def _drop_oldest(self):
        for index, message in enumerate(self._queue):
            if message.qos == 0:
                self._queue.pop(index)
                return True
        return False

    def subscribe(self, topic, handler):
        """Have `handler(topic: str, payload: bytes, retained: bool)` called at every connection.

        It is called from the reader: it must be short, and what it raises is logged.
        """
        self._codec.check_subscription(encoded(topic))
        self._routes.append((topic, handler))
        self._wake.set()

    async def run(self):
        """Keep the connection, for ever."""
        while True:
            reason = "stopped"
            try:
                await self._connection()
            except _LOST as error:
                reason = repr(error)
            finally:
                if self.is_up:
                    self._up.clear()
                    self._call(self._on_down, reason)
            pause_ms = full_jitter(self._base_ms, self._cap_ms, self._attempt, self._randbits)
            self._attempt += 1
            self._log("MQTT: %s; next try in %d ms" % (reason, pause_ms))
            await asyncio.sleep_ms(pause_ms)

    async def _connection(self):
        opening = self._open_stream(self._host, self._port)
        stream = await asyncio.wait_for_ms(opening, self._timeout_ms)
        try:
            await self._serve(stream)
        finally:
            stream.close()

    async def _serve(self, stream):
        """Run the three tasks until one fails; raise what it failed with."""
        errors = []
        ended = asyncio.Event()

        async def part(serve):
            try:
                await serve(stream)
            except Exception as error:
                errors.append(error)
                ended.set()

        self._codec.connect()
        self._sending = asyncio.Lock()
        tasks = [asyncio.create_task(part(f)) for f in (self._read, self._write, self._ping)]
        try:
            await ended.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        raise errors[0]

    def _call(self, function, *args):
        try:
            function(*args)
        except Exception as error:
            self._log("MQTT: a callback failed", error)

    async def _read(self, stream):
        # A ping is answered every half keepalive, so silence means a dead peer.
        silence_ms = self._codec.keepalive_sec * 1000
        while True:
            size = await stream.readinto(self._chunk, timeout_ms=silence_ms)
            if size == 0:
                raise EOFError("closed by the broker")
            self._codec.feed(self._chunk[:size])
            event = self._codec.next_event()
            while event is not None:
                self._dispatch(event)
                # The codec has room for one acknowledgement: it leaves before the next.
                await self._flush(stream)
                event = self._codec.next_event()
            await asyncio.sleep_ms(0)  # A flood must not keep the others waiting.

    async def _write(self, stream):
        await self._exchange(stream, CONNACK, 0)
        self._subscribed = 0
        await self._subscribe_new(stream)
        await self._exchange(stream, PUBACK, self._codec.publish(*self._birth))
        self._up.set()
        self._call(self._on_up)
        while True:
            await self._subscribe_new(stream)
            if self._queue:
                await self._send_first(stream)
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _ping(self, stream):
        """Ping whether idle or not: both ends then hear something every half keepalive."""
        half_ms = self._codec.keepalive_sec * 500
        while True:
            await asyncio.sleep_ms(half_ms)
            if self.is_up:
                self._attempt = 0  # It lasted: the next loss is a new one.
            self._codec.ping()
            await self._flush(stream)

    def _dispatch(self, event):
        if isinstance(event, Message):
            for topic, handler in self._routes:
                if topic == event.topic:
                    self._call(handler, topic, event.payload, event.retained)
        elif isinstance(event, Dropped):
            self._log("MQTT: dropped a " + event.reason)
        elif event == self._awaited:
            self._replied.set()

    async def _subscribe_new(self, stream):
        while self._subscribed < len(self._routes):
            topic, _ = self._routes[self._subscribed]
            await self._exchange(stream, SUBACK, self._codec.subscribe(encoded(topic)))
            self._subscribed += 1

    async def _send_first(self, stream):
        if self._queue[0].qos:
            self._pid = self._codec.publish(*self._queue[0], pid=self._pid)
            await self._exchange(stream, PUBACK, self._pid)
            self._pid = 0
            self._queue.pop(0)
        else:
            self._codec.publish(*self._queue.pop(0))
            await self._flush(stream)

    async def _exchange(self, stream, kind, pid):
        """Send what the codec wrote and wait for this reply to it."""
        self._awaited = Reply(kind, pid)
        self._replied.clear()
        await self._flush(stream)
        try:
            await asyncio.wait_for_ms(self._replied.wait(), self._timeout_ms)
        except asyncio.TimeoutError:
            raise asyncio.TimeoutError("no reply 0x%02x in %d ms" % (kind, self._timeout_ms))

    async def _flush(self, stream):
        """Send what the codec holds; one task at a time, or packets would mix."""
        codec = self._codec
        async with self._sending:
            while codec.out_bytes:
                size = codec.out_bytes
                await stream.write(codec.out, size, timeout_ms=self._timeout_ms)
                codec.sent(size)
