"""MQTT packets: exact bytes out, every way of cutting them in, and bounds."""

from umqtt import robust, simple

import umqtt_codec
from harness import eq, raises
from protocol_error import ProtocolError
from umqtt_codec import CONNACK, PINGRESP, PUBACK, SUBACK, Dropped, Message, MqttCodec, Reply

LIMIT = 64

CONNECTED = b"\x20\x02\x00\x00"
# PUBLISH to a/b: QoS 0, QoS 1 with id 0x1234, QoS 0 retained
PLAIN = b"\x30\x08\x00\x03a/bhey"
SURE = b"\x32\x0a\x00\x03a/b\x12\x34hey"
RETAINED = b"\x31\x08\x00\x03a/bold"


def make(will=("w", "gone"), max_packet_bytes=LIMIT, **kwargs):
    return MqttCodec(
        "cam1", keepalive_sec=300, will=will, max_packet_bytes=max_packet_bytes, **kwargs
    )


def connected(**kwargs):
    codec = make(**kwargs)
    codec.connect()
    written(codec)
    return codec


def written(codec):
    """Take what is to be sent."""
    data = bytes(codec.out[: codec.out_bytes])
    codec.sent(len(data))
    return data


def events(codec, *chunks):
    found = []
    for chunk in chunks:
        codec.feed(memoryview(chunk))
        event = codec.next_event()
        while event is not None:
            found.append(event)
            event = codec.next_event()
    return found


def publish_packet(topic, payload, head=0x30, pid=b""):
    """A PUBLISH as a broker writes it, with a minimal remaining length."""
    body = len(topic).to_bytes(2, "big") + topic + pid + payload
    return bytes([head]) + remaining_length(len(body)) + body


def remaining_length(size):
    out = b""
    while size > 0x7F:
        out += bytes([size & 0x7F | 0x80])
        size >>= 7
    return out + bytes([size])


# Out


def test_connect_is_written_whole():
    codec = make(user="u", password="pw")
    codec.connect()
    expected = (
        b"\x10\x20"
        b"\x00\x04MQTT\x04"
        b"\xee"  # user, password, will retained, will QoS 1, will, clean session
        b"\x01\x2c"  # 300 s
        b"\x00\x04cam1"
        b"\x00\x01w\x00\x04gone"
        b"\x00\x01u\x00\x02pw"
    )
    eq(written(codec), expected)


def test_connect_without_a_user():
    codec = make(user="")
    codec.connect()
    eq(written(codec), b"\x10\x19\x00\x04MQTT\x04\x2e\x01\x2c\x00\x04cam1\x00\x01w\x00\x04gone")


def test_connect_with_more_than_127_bytes():
    codec = make(will=("w", b"x" * 150), max_packet_bytes=256)
    codec.connect()
    packet = written(codec)
    eq(packet[:3], b"\x10\xab\x01")
    eq(len(packet), 3 + 171)


def test_text_is_counted_in_bytes():
    codec = make(will=("w", "\u79bb"))
    codec.connect()
    packet = written(codec)
    eq(packet[-5:], b"\x00\x03\xe7\xa6\xbb")
    eq(packet[1], len(packet) - 2)


def test_connect_lends_the_socket_name_only_for_the_call():
    before = simple.socket
    connected()
    assert simple.socket is before, "umqtt.simple.socket was not given back"
    codec = make(will=("w", b"x" * LIMIT))
    raises(ValueError, codec.connect)
    assert simple.socket is before, "umqtt.simple.socket was not given back after an error"


def test_publish():
    codec = connected()
    eq(codec.publish(b"a/b", b"hey", qos=0), 0)
    eq(written(codec), PLAIN)
    eq(codec.publish(b"a/b", b"old", qos=0, retain=True), 0)
    eq(written(codec), RETAINED)
    eq(codec.publish(b"a/b", b"hey", qos=1), 1)
    eq(written(codec), b"\x32\x0a\x00\x03a/b\x00\x01hey")
    eq(codec.publish(b"a/b", b"", qos=1, retain=True), 2)
    eq(written(codec), b"\x33\x07\x00\x03a/b\x00\x02")


def test_repeat_has_dup_and_the_same_id():
    codec = connected()
    first = codec.publish(b"a/b", b"hey", qos=1)
    codec.publish(b"a/b", b"two", qos=1)
    written(codec)
    eq(codec.publish(b"a/b", b"hey", qos=1, pid=first), first)
    eq(written(codec), b"\x3a\x0a\x00\x03a/b\x00\x01hey")
    eq(codec.publish(b"a/b", b"new", qos=1), 3, "the next id")


def test_dup_is_set_on_the_right_packet():
    codec = connected()
    codec.ping()
    codec.publish(b"t", b"", qos=1, pid=9)
    eq(written(codec), b"\xc0\x00\x3a\x05\x00\x01t\x00\x09")


def test_packet_ids_stay_within_1_and_65535():
    codec = connected()
    ids = []
    for _ in range(65536):
        ids.append(codec.publish(b"t", b"", qos=1))
        codec.sent(codec.out_bytes)
    eq((ids[0], ids[65533], ids[65534], ids[65535]), (1, 65534, 65535, 1))
    eq(codec.publish(b"t", b"", qos=1, pid=65535), 65535)
    eq(written(codec)[-2:], b"\xff\xff")
    for _ in range(65534):
        codec.subscribe(b"t")
        codec.sent(codec.out_bytes)
    eq(codec.subscribe(b"t"), 1)
    eq(written(codec), b"\x82\x06\x00\x01\x00\x01t\x01")


def test_publish_without_qos_leaves_the_ids_alone():
    codec = connected()
    codec.publish(b"t", b"", qos=1)
    eq(codec.publish(b"t", b"", qos=0), 0)
    eq(codec.publish(b"t", b"", qos=1), 2)


def test_subscribe():
    codec = connected()
    eq(codec.subscribe(b"a/b"), 1)
    eq(written(codec), b"\x82\x08\x00\x01\x00\x03a/b\x01")


def test_longest_subscription():
    codec = connected(max_packet_bytes=256)
    codec.check_subscription(b"t" * 122)
    codec.subscribe(b"t" * 122)
    eq(written(codec), b"\x82\x7f\x00\x01\x00\x7a" + b"t" * 122 + b"\x01")
    raises(ValueError, codec.check_subscription, b"t" * 123)
    raises(ValueError, codec.check_subscription, b"devices/+/command")


def test_ping():
    codec = connected()
    codec.ping()
    eq(written(codec), b"\xc0\x00")


def test_what_is_added_while_sending_moves_up():
    codec = connected()
    codec.publish(b"t", b"hey", qos=0)
    size = codec.out_bytes
    codec.ping()
    events(codec, SURE)
    codec.sent(size)
    eq(written(codec), b"\xc0\x00\x40\x02\x12\x34")


def test_largest_message_fits_and_leaves_room_for_short_packets():
    codec = connected()
    payload = b"x" * (LIMIT - 10)
    codec.check_message(b"t", payload)
    raises(ValueError, codec.check_message, b"t", payload + b"x")
    codec.publish(b"t", payload, qos=1)
    codec.ping()
    events(codec, SURE)


def test_topics_that_end_a_connection_are_refused():
    codec = make()
    codec.check_message(b"a/b", b"")
    for topic in (b"", b"a/+", b"#", b"a\0b"):
        raises(ValueError, codec.check_message, topic, b"")


def test_buffer_is_never_outgrown():
    codec = connected()
    error = raises(ValueError, codec.publish, b"t", b"x" * (LIMIT + 6), qos=0)
    assert "70 bytes" in str(error), str(error)
    eq(len(codec.out), LIMIT + 6)


# In


def test_replies():
    codec = connected()
    packets = CONNECTED + b"\x40\x02\x12\x34" + b"\x90\x03\x00\x07\x01" + b"\xd0\x00"
    expected = [Reply(CONNACK, 0), Reply(PUBACK, 0x1234), Reply(SUBACK, 7), Reply(PINGRESP, 0)]
    eq(events(codec, packets), expected)
    eq(codec.out_bytes, 0)


def test_messages():
    codec = connected()
    expected = [
        Message("a/b", b"hey", False),
        Message("a/b", b"hey", False),
        Message("a/b", b"old", True),
    ]
    eq(events(codec, PLAIN + SURE + RETAINED), expected)
    eq(written(codec), b"\x40\x02\x12\x34", "only QoS 1 is acknowledged")


def test_message_without_payload():
    eq(events(connected(), publish_packet(b"t", b"")), [Message("t", b"", False)])


def test_repeated_message_is_acknowledged_again():
    codec = connected()
    eq(events(codec, b"\x3a" + SURE[1:]), [Message("a/b", b"hey", False)])
    eq(written(codec), b"\x40\x02\x12\x34")


def test_every_split_point():
    stream = CONNECTED + SURE + b"\xd0\x00" + RETAINED + b"\x40\x02\x00\x01" + PLAIN
    whole = events(connected(), stream)
    eq(len(whole), 6)
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            codec = cut_codec()
            parts = stream[:first], stream[first:second], stream[second:]
            eq(events(codec, *parts), whole, "cut at %d and %d" % (first, second))
            eq(written(codec), b"\x40\x02\x12\x34")
    single = [stream[i : i + 1] for i in range(len(stream))]
    eq(events(connected(), *single), whole, "byte by byte")


_cut = []


def cut_codec():
    """One codec for all cuts, as one is for all connections."""
    if not _cut:
        _cut.append(make())
    _cut[0].connect()
    written(_cut[0])
    return _cut[0]


def test_connect_forgets_half_a_packet():
    codec = connected()
    eq(events(codec, SURE[:7]), [])
    codec.connect()
    written(codec)
    eq(events(codec, CONNECTED + PLAIN), [Reply(CONNACK, 0), Message("a/b", b"hey", False)])


def test_largest_and_too_large_messages():
    codec = connected()
    # Two bytes of fixed header and three of topic.
    fits = publish_packet(b"t", b"x" * (LIMIT - 5))
    eq(len(fits), LIMIT)
    over = publish_packet(b"t", b"x" * (LIMIT - 4))
    expected = [Message("t", b"x" * (LIMIT - 5), False), "dropped", Message("a/b", b"hey", False)]
    for step in (1, 7, len(over), 1000):
        stream = fits + over + PLAIN
        chunks = [stream[i : i + step] for i in range(0, len(stream), step)]
        found = events(codec, *chunks)
        assert isinstance(found[1], Dropped), found[1]
        assert str(LIMIT) in found[1].reason, found[1].reason
        found[1] = "dropped"
        eq(found, expected, "in steps of %d" % step)
        eq(codec.out_bytes, 0, "QoS 0 is not acknowledged")


def test_too_large_message_is_skipped_in_bounded_memory_and_acknowledged():
    codec = connected()
    size = 100_000
    head = b"\x32" + remaining_length(size) + b"\x00\x01t\xab\xcd"
    eq(events(codec, head), [])
    left = size - 5
    chunk = b"\x30" * 1000
    while left > 0:
        part = chunk[:left]
        left -= len(part)
        found = events(codec, part)
        eq(len(found), 0 if left else 1)
    eq(found, [Dropped("message of 100004 bytes, limit 64")])
    eq(written(codec), b"\x40\x02\xab\xcd")
    eq(events(codec, PLAIN), [Message("a/b", b"hey", False)])


def test_too_large_topic_cannot_be_acknowledged():
    codec = connected()
    found = events(codec, publish_packet(b"t" * LIMIT, b"", 0x32, b"\x00\x01"))
    assert isinstance(found[0], Dropped)
    eq(codec.out_bytes, 0)


def test_topic_that_is_not_utf8_is_dropped_but_acknowledged():
    codec = connected()
    found = events(codec, publish_packet(b"\xff\xfe", b"hey", 0x32, b"\x00\x05") + PLAIN)
    assert isinstance(found[0], Dropped), found[0]
    eq(found[1:], [Message("a/b", b"hey", False)])
    eq(written(codec), b"\x40\x02\x00\x05")


def test_malformed():
    cases = (
        ("remaining length of five bytes", b"\x30\xff\xff\xff\xff\x01"),
        ("same, in an acknowledgement", b"\x40\x80\x80\x80\x80\x00"),
        ("message without a topic length", b"\x30\x00"),
        ("message with half a topic length", b"\x30\x01\x00"),
        ("topic longer than the packet", b"\x30\x04\x00\x09ab"),
        ("no room for the packet id", b"\x32\x03\x00\x01a"),
        ("half a packet id", b"\x32\x04\x00\x01a\x00"),
        ("QoS 2", b"\x34\x06\x00\x01a\x00\x01x"),
        ("QoS 3", b"\x36\x06\x00\x01a\x00\x01x"),
        ("PUBACK too short", b"\x40\x01\x00"),
        ("PUBACK too long", b"\x40\x03\x00\x01\x00"),
        ("PUBACK with flags", b"\x41\x02\x00\x01"),
        ("PINGRESP with a body", b"\xd0\x01\x00"),
        ("SUBACK without a code", b"\x90\x02\x00\x01"),
        ("what only a client sends", b"\x10\x02\x00\x00"),
        ("reserved packet type", b"\x00\x00"),
        ("acknowledgement larger than the buffer", b"\x40\x80\x01" + b"x" * 128),
    )
    for name, packet in cases:
        try:
            found = events(connected(), packet)
        except ProtocolError:
            continue
        raise AssertionError("%s gave %r" % (name, found))


def test_refusals_say_why():
    cases = (
        (b"\x20\x02\x00\x02", "client id rejected"),
        (b"\x20\x02\x00\x04", "bad user name or password"),
        (b"\x20\x02\x00\x05", "not authorised"),
        (b"\x20\x02\x00\x63", "code 99"),
        (b"\x90\x03\x00\x01\x80", "subscription"),
    )
    for packet, text in cases:
        error = raises(ProtocolError, events, connected(), packet)
        assert text in str(error), str(error)


def test_codec_works_after_a_malformed_packet():
    codec = connected()
    for packet in (b"\x30\x04\x00\x09ab", b"\x30\xff\xff\xff\xff\x01"):
        raises(ProtocolError, events, codec, packet)
        codec.connect()
        written(codec)
        eq(events(codec, CONNECTED), [Reply(CONNACK, 0)])


def test_random_bytes_raise_nothing_but_protocol_errors():
    seed = 1
    codec = make()
    for _ in range(300):
        codec.connect()
        noise = bytearray(CONNECTED + SURE + RETAINED + PLAIN)
        for _ in range(3):
            seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
            noise[(seed >> 8) % len(noise)] = seed >> 20 & 0xFF
        try:
            events(codec, bytes(noise))
        except ProtocolError:
            continue
        assert codec.out_bytes <= len(codec.out)


def test_library_never_sleeps_or_reconnects():
    """robust answers every OSError with a sleep and a reconnect: none may reach it."""

    def fail(*args):
        raise AssertionError("robust took an exception for a lost connection")

    kept = robust.MQTTClient.reconnect
    robust.MQTTClient.reconnect = fail
    try:
        codec = connected()
        codec.subscribe(b"t")
        codec.publish(b"t", b"", qos=1)
        raises(ProtocolError, events, codec, b"\x30\x04\x00\x09ab")
    finally:
        robust.MQTTClient.reconnect = kept
    assert not issubclass(umqtt_codec.NeedData, OSError)
