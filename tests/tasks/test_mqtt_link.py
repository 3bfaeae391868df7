"""The MQTT link against a broker in memory that leaves out what each test says."""

import asyncio
import time

from firmware.mqtt_link import MqttLink
from harness import eq, raises, raises_async
from umqtt_codec import MqttCodec

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ = 0x10, 0x30, 0x40, 0x80, 0xC0
NAMES = {CONNECT: "CONNECT", PUBACK: "PUBACK", SUBSCRIBE: "SUBSCRIBE", PINGREQ: "PINGREQ"}
LIMIT = 128
TIMEOUT_MS = 100


class Broker:
    """Answers every packet at once, except the kinds in `silent`; `heard` is what came."""

    def __init__(self):
        self.heard = []
        self.streams = []
        self.silent = set()
        self.connack = b"\x20\x02\x00\x00"
        self.suback_code = 1
        self.refuses = 0  # how many more connections fail

    async def open_stream(self, host, port):
        eq((host, port), ("broker", 1883))
        if self.refuses:
            self.refuses -= 1
            raise OSError(111)
        self.streams.append(FakeStream(self))
        return self.streams[-1]

    @property
    def stream(self):
        return self.streams[-1]

    def hear(self, stream, packet):
        kind = packet[0] & 0xF0
        self.heard.append(packet)
        if kind in self.silent:
            return
        if kind == CONNECT:
            stream.deliver(self.connack)
        elif kind == SUBSCRIBE:
            stream.deliver(b"\x90\x03" + packet[2:4] + bytes([self.suback_code]))
        elif kind == PUBLISH and packet[0] & 6:
            stream.deliver(b"\x40\x02" + pid_of(packet))
        elif kind == PINGREQ:
            stream.deliver(b"\xd0\x00")

    def story(self):
        """What came, as words."""
        return [told(packet) for packet in self.heard]


class FakeStream:
    def __init__(self, broker):
        self.closed = False
        self.readers = 0
        self.writers = 0
        self.write_error = None
        self.has_room = asyncio.Event()
        self.has_room.set()
        self._broker = broker
        self._inbox = b""
        self._outbox = b""
        self._eof = False
        self._news = asyncio.Event()

    def deliver(self, data):
        self._inbox += data
        self._news.set()

    def end(self):
        self._eof = True
        self._news.set()

    async def readinto(self, view, *, timeout_ms):
        assert not self.readers, "two readers on one stream"
        self.readers += 1
        try:
            if not self._inbox and not self._eof:
                self._news.clear()
                await asyncio.wait_for_ms(self._news.wait(), timeout_ms)
        finally:
            self.readers -= 1
        size = min(len(view), len(self._inbox))
        view[:size] = self._inbox[:size]
        self._inbox = self._inbox[size:]
        return size

    async def write(self, buf, size, *, timeout_ms):
        assert not self.closed, "write to a closed stream"
        assert not self.writers, "two writers on one stream"
        self.writers += 1
        data = bytes(buf[:size])
        try:
            await self.has_room.wait()
        finally:
            self.writers -= 1
        if self.write_error:
            raise self.write_error
        eq(bytes(buf[:size]), data, "the buffer was changed while it was sent")
        self._outbox += data
        while len(self._outbox) > 1 and len(self._outbox) >= 2 + self._outbox[1]:
            end = 2 + self._outbox[1]
            packet, self._outbox = self._outbox[:end], self._outbox[end:]
            self._broker.hear(self, packet)

    def close(self):
        self.closed = True


def pid_of(packet):
    at = 4 + (packet[2] << 8 | packet[3])
    return packet[at : at + 2]


def told(packet):
    kind = packet[0] & 0xF0
    size = packet[2] << 8 | packet[3] if len(packet) > 3 else 0
    if kind == PUBLISH:
        flags = ("+" if packet[0] & 8 else "") + ("r" if packet[0] & 1 else "")
        pid = pid_of(packet) if packet[0] & 6 else b""
        number = str(pid[1]) if pid else ""
        body = packet[4 + size + len(pid) :].decode()
        return "%s%s=%s%s" % (packet[4 : 4 + size].decode(), number, body, flags)
    if kind == SUBSCRIBE:
        return "SUBSCRIBE " + packet[6:-1].decode()
    return NAMES[kind]


class Desk:
    """A link, its broker and what was logged and called."""

    def __init__(self, *, queue_limit=4, keepalive_sec=20, retry_ms=(1, 1)):
        self.broker = Broker()
        self.logged = []
        self.errors = []
        self.calls = []
        self.link = MqttLink(
            self.broker.open_stream,
            MqttCodec(
                "cam", keepalive_sec=keepalive_sec, will=("s", "off"), max_packet_bytes=LIMIT
            ),
            host="broker",
            port=1883,
            birth=("s", "on"),
            queue_limit=queue_limit,
            timeout_ms=TIMEOUT_MS,
            retry_ms=retry_ms,
            randbits=lambda bits: (1 << bits) - 1,
            log=self.log,
            on_up=lambda: self.calls.append("up"),
            on_down=lambda reason: self.calls.append("down"),
        )

    def log(self, text, error=None):
        self.logged.append(text)
        if error is not None:
            self.errors.append(error)

    def has_logged(self, text):
        return any(text in line for line in self.logged)

    async def __aenter__(self):
        self.task = asyncio.create_task(self.link.run())
        return self

    async def __aexit__(self, *unused):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def up(self):
        await asyncio.wait_for_ms(self.link.wait_up(), 2000)
        return self


async def until(condition, timeout_ms=2000):
    """Let the others run until it is so."""
    start = time.ticks_ms()
    while not condition():
        waited_ms = time.ticks_diff(time.ticks_ms(), start)
        assert waited_ms < timeout_ms, "not within %d ms" % timeout_ms
        await asyncio.sleep_ms(1)
    return time.ticks_diff(time.ticks_ms(), start)


def message(topic, payload, head=0x30, pid=b""):
    body = bytes([0, len(topic)]) + topic + pid + payload
    return bytes([head, len(body)]) + body


async def test_connects_subscribes_and_announces_before_it_is_up():
    desk = Desk()
    desk.link.subscribe("c/1", print)
    desk.link.subscribe("c/2", print)
    assert not desk.link.is_up
    async with desk:
        await desk.up()
        eq(desk.broker.story(), ["CONNECT", "SUBSCRIBE c/1", "SUBSCRIBE c/2", "s3=onr"])
        eq(desk.broker.heard[0][2:9], b"\x00\x04MQTT\x04")
        eq(desk.broker.heard[0][9], 0x2E, "clean session, last will with QoS 1, retained")
        eq(desk.calls, ["up"])
        assert desk.link.is_up


async def test_queue_from_before_the_connection_is_sent_in_order():
    desk = Desk()
    assert desk.link.publish("t", "1", qos=1)
    assert desk.link.publish("t", "2")
    assert desk.link.publish("t", "3", qos=1, retain=True)
    async with desk:
        await until(lambda: len(desk.broker.heard) == 5)
        eq(desk.broker.story(), ["CONNECT", "s1=onr", "t2=1", "t=2", "t3=3r"])


async def test_one_acknowledged_message_at_a_time():
    async with Desk() as desk:
        await desk.up()
        desk.broker.silent.add(PUBLISH)
        desk.link.publish("t", "1", qos=1)
        desk.link.publish("t", "2", qos=1)
        await until(lambda: desk.broker.story()[-1] == "t2=1")
        desk.broker.stream.deliver(b"\x40\x02\x00\x09")  # of another packet
        await asyncio.sleep_ms(TIMEOUT_MS // 4)
        eq(desk.broker.story()[-1], "t2=1")
        desk.broker.stream.deliver(b"\x40\x02\x00\x02")
        await until(lambda: desk.broker.story()[-1] == "t3=2")


async def test_unacknowledged_message_is_repeated_after_reconnecting():
    async with Desk() as desk:
        await desk.up()
        desk.broker.silent.add(PUBLISH)
        desk.link.publish("t", "1", qos=1)
        desk.link.publish("t", "2", qos=1)
        await until(lambda: desk.calls == ["up", "down"])
        desk.broker.silent.clear()
        await until(lambda: desk.broker.story()[-1].startswith("t4="))
        eq(desk.broker.story()[3:], ["CONNECT", "s3=onr", "t2=1+", "t4=2"])
        assert desk.has_logged("no reply 0x40"), desk.logged
        eq(desk.calls, ["up", "down", "up"])


async def test_subscriptions_are_repeated_and_can_be_added():
    desk = Desk()
    desk.link.subscribe("c/1", print)
    async with desk:
        await desk.up()
        desk.link.subscribe("c/2", print)
        await until(lambda: desk.broker.story()[-1] == "SUBSCRIBE c/2")
        desk.broker.stream.end()
        await until(lambda: len(desk.calls) == 3)
        eq(desk.broker.story()[-4:], ["CONNECT", "SUBSCRIBE c/1", "SUBSCRIBE c/2", "s6=onr"])
        assert desk.has_logged("closed by the broker"), desk.logged
        assert desk.broker.streams[0].closed


async def test_handlers_get_topic_payload_and_whether_it_was_retained():
    got = []
    desk = Desk()
    desk.link.subscribe("c/1", lambda *args: got.append(args))
    async with desk:
        await desk.up()
        desk.broker.stream.deliver(message(b"c/1", b"new"))
        desk.broker.stream.deliver(message(b"c/1", b"old", 0x31))
        desk.broker.stream.deliver(message(b"elsewhere", b"x"))
        desk.broker.stream.deliver(message(b"c/1", b"sure", 0x32, b"\x00\x07"))
        await until(lambda: desk.broker.story()[-1] == "PUBACK")
        eq(got, [("c/1", b"new", False), ("c/1", b"old", True), ("c/1", b"sure", False)])
        eq(desk.broker.heard[-1], b"\x40\x02\x00\x07")


async def test_failing_handler_is_logged_and_does_not_harm_the_link():
    mistake = OSError(5)

    def handler(topic, payload, retained):
        raise mistake

    desk = Desk()
    desk.link.subscribe("c/1", handler)
    async with desk:
        await desk.up()
        desk.broker.stream.deliver(message(b"c/1", b"", 0x32, b"\x00\x07"))
        await until(lambda: desk.broker.story()[-1] == "PUBACK")
        eq(desk.errors, [mistake])
        eq(desk.calls, ["up"])


async def test_handler_may_publish():
    desk = Desk()
    desk.link.subscribe("c", lambda topic, payload, retained: desk.link.publish("r", payload, 1))
    async with desk:
        await desk.up()
        desk.broker.stream.deliver(message(b"c", b"hey"))
        await until(lambda: desk.broker.story()[-1] == "r3=hey")


async def test_flood_is_acknowledged_within_the_fixed_buffer():
    got = []
    desk = Desk()
    desk.link.subscribe("c", lambda topic, payload, retained: got.append(payload))
    async with desk:
        await desk.up()
        flood = [message(b"c", b"", 0x32, bytes([1, i])) for i in range(200)]
        desk.broker.stream.deliver(b"".join(flood))
        await until(lambda: len(got) == 200)
        desk.link.publish("t", "end", qos=1)
        await until(lambda: desk.broker.story()[-1] == "t3=end")
        acknowledged = [p[2:4] for p in desk.broker.heard if p[0] == PUBACK]
        eq(acknowledged, [bytes([1, i]) for i in range(200)])
        eq(desk.calls, ["up"])


async def test_packets_wait_for_each_other_on_a_slow_connection():
    async with Desk() as desk:
        await desk.up()
        desk.broker.stream.has_room.clear()
        desk.link.publish("t", "slow")
        await until(lambda: desk.broker.stream.writers)
        desk.broker.stream.deliver(message(b"c", b"", 0x32, b"\x00\x07"))
        await until(lambda: not desk.broker.stream.readers)
        desk.link.publish("t", "next")
        desk.broker.stream.has_room.set()
        await until(lambda: len(desk.broker.heard) == 5)
        eq(desk.broker.story()[2:], ["t=slow", "PUBACK", "t=next"])


async def test_flood_leaves_time_for_other_tasks():
    turns = [0]
    seen = []

    async def other():
        while True:
            turns[0] += 1
            await asyncio.sleep_ms(0)

    desk = Desk()
    desk.link.subscribe("c", lambda topic, payload, retained: seen.append(turns[0]))
    async with desk:
        await desk.up()
        task = asyncio.create_task(other())
        desk.broker.stream.deliver(message(b"c", b"") * 500)  # ten chunks
        await until(lambda: len(seen) == 500)
        task.cancel()
        assert seen[-1] - seen[0] >= 5, (seen[0], seen[-1])


async def test_pings_keep_an_idle_connection():
    async with Desk(keepalive_sec=1) as desk:
        await desk.up()
        await asyncio.sleep_ms(2200)
        eq(desk.broker.story()[2:], ["PINGREQ"] * 4)
        eq(desk.calls, ["up"])


async def test_half_open_connection_is_found_within_one_and_a_half_keepalives():
    async with Desk(keepalive_sec=1) as desk:
        await desk.up()
        desk.broker.silent = {CONNECT, PUBLISH, SUBSCRIBE, PINGREQ}
        waited_ms = await until(lambda: desk.calls == ["up", "down"])
        assert waited_ms <= 1500, waited_ms
        assert desk.broker.streams[0].closed


async def test_missing_answers_end_a_connection():
    for silent in (CONNECT, SUBSCRIBE, PUBLISH):
        desk = Desk()
        desk.link.subscribe("c", print)
        desk.broker.silent.add(silent)
        async with desk:
            await until(lambda desk=desk: len(desk.broker.streams) > 1)
            assert desk.has_logged("no reply"), desk.logged
            assert desk.broker.streams[0].closed
            eq(desk.calls, [])
            desk.broker.silent.clear()
            await desk.up()


async def test_refusals_are_logged_and_tried_again():
    desk = Desk()
    desk.link.subscribe("c", print)
    desk.broker.connack = b"\x20\x02\x00\x05"
    async with desk:
        await until(lambda: desk.has_logged("not authorised"))
        desk.broker.connack = b"\x20\x02\x00\x00"
        desk.broker.suback_code = 0x80
        await until(lambda: desk.has_logged("refused a subscription"))
        eq(desk.calls, [])
        desk.broker.suback_code = 0
        await desk.up()


async def test_connect_that_hangs_is_given_up():
    async def hang(host, port):
        await asyncio.Event().wait()

    desk = Desk()
    desk.link._open_stream = hang
    async with desk:
        await until(lambda: len(desk.logged) > 1)
        assert desk.has_logged("Timeout"), desk.logged


async def test_pauses_grow_and_start_again_after_a_connection_that_lasted():
    desk = Desk(retry_ms=(2, 8), keepalive_sec=1)
    desk.broker.refuses = 4
    async with desk:
        await desk.up()
        desk.broker.stream.end()
        await until(lambda: len(desk.calls) == 3)
        await asyncio.sleep_ms(600)  # over half the keepalive
        desk.broker.stream.end()
        await until(lambda: len(desk.calls) == 5)
        pauses = [line.split("next try in ")[1] for line in desk.logged if "next try" in line]
        eq(pauses, ["2 ms", "4 ms", "8 ms", "8 ms", "8 ms", "2 ms"])


async def test_full_queue_gives_up_its_oldest_unacknowledged_messages_only():
    desk = Desk(queue_limit=3)
    publish = desk.link.publish
    assert publish("t", "1", qos=1)
    assert publish("t", "2")
    assert publish("t", "3")
    assert publish("t", "4"), "takes the place of 2"
    assert publish("t", "5", qos=1), "takes the place of 3"
    assert publish("t", "6", qos=1), "takes the place of 4"
    assert not publish("t", "7", qos=1)
    assert not publish("t", "8")
    async with desk:
        await until(lambda: len(desk.broker.heard) == 5)
        eq(desk.broker.story()[2:], ["t2=1", "t3=5", "t4=6"])
        await until(lambda: publish("t", "9", qos=1))


async def test_message_on_its_way_keeps_its_place():
    async with Desk(queue_limit=1) as desk:
        await desk.up()
        desk.broker.silent.add(PUBLISH)
        desk.link.publish("t", "1", qos=1)
        await until(lambda: desk.broker.story()[-1] == "t2=1")
        assert not desk.link.publish("t", "2", qos=1)
        desk.broker.silent.clear()
        await until(lambda: desk.broker.story()[-1] == "t2=1+")
        await until(lambda: desk.link.publish("t", "3"))


async def test_what_can_never_be_sent_is_refused_at_once():
    link = Desk().link
    raises(ValueError, link.publish, "t/#", "x")
    raises(ValueError, link.publish, "", "x")
    raises(ValueError, link.publish, "t", "x" * LIMIT)
    raises(ValueError, link.subscribe, "t/+", print)
    raises(ValueError, link.subscribe, "t" * LIMIT, print)


async def test_too_large_message_is_dropped_and_the_link_stays():
    got = []
    desk = Desk()
    desk.link.subscribe("c", lambda topic, payload, retained: got.append(payload))
    async with desk:
        await desk.up()
        desk.broker.stream.deliver(b"\x30\xc8\x01\x00\x01c" + b"x" * 197)
        desk.broker.stream.deliver(message(b"\xff", b"not UTF-8"))
        desk.broker.stream.deliver(message(b"c", b"next"))
        await until(lambda: got)
        eq(got, [b"next"])
        assert desk.has_logged("message of 203 bytes, limit 128"), desk.logged
        assert desk.has_logged("not UTF-8"), desk.logged
        eq(desk.calls, ["up"])


async def test_malformed_packet_ends_the_connection():
    async with Desk() as desk:
        await desk.up()
        desk.broker.stream.deliver(b"\x30\xff\xff\xff\xff\x01")
        await until(lambda: desk.calls == ["up", "down", "up"])
        assert desk.has_logged("remaining length"), desk.logged


async def test_failed_write_ends_the_connection():
    for error in (OSError(32), asyncio.TimeoutError()):
        async with Desk() as desk:
            await desk.up()
            desk.broker.stream.write_error = error
            desk.link.publish("t", "1", qos=1)
            await until(lambda desk=desk: desk.broker.story()[-1] == "t2=1+")
            eq(desk.calls, ["up", "down", "up"])


async def test_other_failures_end_the_task_and_leave_nothing_running():
    async with Desk() as desk:
        await desk.up()
        desk.broker.stream.write_error = KeyError("a mistake")
        desk.link.publish("t", "1", qos=1)
        await raises_async(KeyError, desk.task)
        assert desk.broker.stream.closed
        eq(desk.broker.stream.readers, 0)
        eq(desk.calls, ["up", "down"])
        desk.task = asyncio.create_task(desk.link.run())  # as the supervisor does
        await until(lambda: desk.broker.story()[-1] == "t2=1+")


async def test_cancelling_closes_the_stream_and_leaves_nothing_running():
    for moment in ("connecting", "up", "publishing"):
        desk = Desk()
        async with desk:
            if moment == "connecting":
                desk.broker.silent.add(CONNECT)
                await until(lambda desk=desk: desk.broker.heard)
            else:
                await desk.up()
            if moment == "publishing":
                desk.broker.silent.add(PUBLISH)
                desk.link.publish("t", "1", qos=1)
                await until(lambda desk=desk: desk.broker.story()[-1] == "t2=1")
        assert desk.broker.stream.closed
        eq((desk.broker.stream.readers, desk.broker.stream.writers), (0, 0), moment)
        assert not desk.link.is_up
        heard = len(desk.broker.heard)
        await asyncio.sleep_ms(5)
        eq(len(desk.broker.heard), heard, moment)
        eq(len(desk.broker.streams), 1, moment)
        eq(desk.calls, [] if moment == "connecting" else ["up", "down"])
