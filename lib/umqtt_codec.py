"""MQTT 3.1.1 packets through umqtt.robust, which never sees a socket.

The library writes and parses the packets; this module stands where its socket
would be: it holds what is to be sent, and gives the library what arrived, one
whole packet at a time. Nothing in it can wait, and no packet is larger than the
buffers made at the start:

    feed(chunk) -> one whole packet -> the library's wait_msg() -> next_event()
    connect(), publish(), subscribe(), ping() -> out[:out_bytes] -> sent(n)

Fits the copy on PyPI (umqtt.simple 1.3.4, umqtt.robust 1.0) and the one that is
frozen in MicroPython 1.29.

Pure: no IO.
"""

from collections import namedtuple

from micropython import const
from umqtt import robust, simple

from mqtt_framing import PacketFramer
from protocol_error import ProtocolError
from umqtt_wire import NeedData, Wire

CONNACK = const(0x20)
PUBACK = const(0x40)
SUBACK = const(0x90)
PINGRESP = const(0xD0)

_PUBLISH = const(0x30)
_DUP = const(0x08)
_QOS = const(0x06)
_QOS2 = const(0x04)
_RETAIN = const(0x01)
_REFUSED = const(0x80)
_MAX_PID = const(65535)
# A PUBACK and a ping may wait behind the packet that is being sent.
_SHORT_PACKETS_BYTES = const(6)
# Of a PUBLISH: fixed header, length of the topic, packet id.
_MAX_OVERHEAD_BYTES = const(9)
# The library on PyPI writes the length of a SUBSCRIBE in one byte.
_MAX_FILTER_BYTES = const(122)

_REPLY_BYTES = {CONNACK: 2, PUBACK: 2, SUBACK: 3, PINGRESP: 0}
_CONNECT_REFUSALS = (
    "",
    "unacceptable protocol version",
    "client id rejected",
    "server unavailable",
    "bad user name or password",
    "not authorised",
)

Message = namedtuple("Message", ("topic", "payload", "retained"))
Reply = namedtuple("Reply", ("kind", "pid"))
Dropped = namedtuple("Dropped", ("reason",))


def encoded(text):
    """Bytes as they are, str as UTF-8: the library counts what it is given."""
    return text.encode() if isinstance(text, str) else bytes(text)


class MqttCodec:
    def __init__(
        self, client_id, *, user=None, password=None, keepalive_sec, will, max_packet_bytes
    ):
        """`will` is (topic, payload), published by the broker with QoS 1, retained."""
        self.keepalive_sec = keepalive_sec
        self.max_packet_bytes = max_packet_bytes
        self._wire = Wire(max_packet_bytes + _SHORT_PACKETS_BYTES)
        self._client = robust.MQTTClient(
            encoded(client_id),
            "",
            user=encoded(user) if user else None,
            password=encoded(password or ""),
            keepalive=keepalive_sec,
        )
        self._client.set_last_will(encoded(will[0]), encoded(will[1]), retain=True, qos=1)
        self._client.set_callback(self._on_publish)
        self._framer = PacketFramer(max_packet_bytes)
        self._event = None

    # What is to be sent

    @property
    def out(self):
        """The buffer whose first `out_bytes` bytes are to be sent."""
        return self._wire.out

    @property
    def out_bytes(self):
        return self._wire.out_bytes

    def sent(self, size):
        """Forget the first `size` bytes of `out`; what was added meanwhile moves up."""
        self._wire.sent(size)

    def connect(self):
        """Forget the last connection and write CONNECT; answered by Reply(CONNACK, 0)."""
        self._wire.clear()
        self._framer.reset()
        # Both versions look up `socket` in their module when they connect.
        # It is lent for this call only, so other users of umqtt keep theirs.
        lent, simple.socket = simple.socket, self._wire  # type: ignore[attr-defined]
        try:
            self._write(self._client.connect)
        finally:
            simple.socket = lent  # type: ignore[attr-defined]

    def check_message(self, topic, payload):
        """Raise ValueError for a message that no broker or no buffer would take; bytes both."""
        if not topic or b"+" in topic or b"#" in topic or b"\0" in topic:
            raise ValueError("not a topic to publish to: %r" % topic)
        size = _MAX_OVERHEAD_BYTES + len(topic) + len(payload)
        if size > self.max_packet_bytes:
            raise ValueError("message of %d bytes, limit %d" % (size, self.max_packet_bytes))

    def check_subscription(self, topic):
        """Raise ValueError for a topic that cannot be subscribed to as it is; no wildcards."""
        self.check_message(topic, b"")
        if len(topic) > _MAX_FILTER_BYTES:
            raise ValueError("topic of %d bytes, limit %d" % (len(topic), _MAX_FILTER_BYTES))

    def publish(self, topic, payload, qos, retain=False, pid=0):
        """Write a PUBLISH; return its packet id, answered by Reply(PUBACK, id); QoS 0: 0.

        `pid` repeats a message that was not acknowledged: same id, DUP set.
        """
        client, start = self._client, self._wire.out_bytes
        newest = client.pid
        # The library counts up first, and never wraps.
        client.pid = pid - 1 if pid else newest % _MAX_PID
        self._write(client.publish, topic, payload, retain, qos)
        used = client.pid
        if pid:
            self._wire.out[start] |= _DUP
            client.pid = newest
        return used if qos else 0

    def subscribe(self, topic):
        """Write a SUBSCRIBE for QoS 1; return its packet id, answered by Reply(SUBACK, id)."""
        self._client.pid %= _MAX_PID
        self._write(self._client.subscribe, topic, 1)
        return self._client.pid

    def ping(self):
        self._client.ping()

    def _write(self, call, *args):
        try:
            call(*args)
        except NeedData:
            return  # It is written; the answer comes as an event.

    # What arrives

    def feed(self, chunk):
        """Hand over received bytes, borrowed until next_event() returns None."""
        self._framer.feed(chunk)

    def next_event(self):
        """The next Message, Reply or Dropped; None when the chunk is used up.

        Raises ProtocolError for what ends a connection: malformed packets, a
        refused CONNECT or SUBSCRIBE. An event may add a PUBACK to `out`.
        """
        if not self._framer.next_packet():
            return None
        head = self._framer.packet[0]
        if head & 0xF0 != _PUBLISH:
            return self._reply(head)
        if head & _QOS >= _QOS2:
            raise ProtocolError("message with a QoS that was not granted")
        if self._framer.is_cut:
            return self._oversized(head)
        return self._message()

    def _message(self):
        self._wire.load(self._framer.packet[: self._framer.kept_bytes])
        try:
            self._client.wait_msg()
        finally:
            self._wire.unload()
        return self._event

    def _on_publish(self, topic, payload):
        retained = bool(self._framer.packet[0] & _RETAIN)
        try:
            self._event = Message(topic.decode(), payload, retained)
        except UnicodeError:
            self._event = Dropped("message whose topic is not UTF-8")

    def _oversized(self, head):
        """Acknowledge what was not read: unanswered, it would fill the broker's window."""
        packet, at = self._framer.packet, self._framer.body_at
        at += 2 + (packet[at] << 8 | packet[at + 1])
        if head & _QOS and at + 2 <= self._framer.kept_bytes:
            self._wire.write(b"\x40\x02")
            self._wire.write(packet[at : at + 2])
        size = self._framer.size
        return Dropped("message of %d bytes, limit %d" % (size, self.max_packet_bytes))

    def _reply(self, head):
        """Sections 3.2, 3.4, 3.9 and 3.13 of MQTT 3.1.1."""
        packet, at, size = self._framer.packet, self._framer.body_at, self._framer.body_bytes
        if _REPLY_BYTES.get(head) != size:
            raise ProtocolError("packet 0x%02x with %d bytes" % (head, size))
        if head == PINGRESP:
            return Reply(head, 0)
        if head == CONNACK:
            self._check_connack(packet[at + 1])
            return Reply(head, 0)
        if head == SUBACK and packet[at + 2] >= _REFUSED:
            raise ProtocolError("the broker refused a subscription")
        return Reply(head, packet[at] << 8 | packet[at + 1])

    def _check_connack(self, code):
        if code >= len(_CONNECT_REFUSALS):
            raise ProtocolError("the broker refused the connection: code %d" % code)
        if code:
            raise ProtocolError("the broker refused the connection: " + _CONNECT_REFUSALS[code])
