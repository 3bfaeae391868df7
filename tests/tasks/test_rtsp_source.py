"""The RTSP source against a camera that behaves, and against many that do not."""

import asyncio
import gc
import sys
import time
from binascii import b2a_base64, hexlify
from hashlib import md5

import net
from firmware.sources.rtsp import RtspSource
from harness import eq, raises, raises_async
from nal_units import IDR, SLICE, SPS, Bits, idr_unit, nal, pps, slice_nal, sps, units
from protocol_error import ProtocolError
from rtp_packets import film, frame, packets
from tasks.rtsp_camera import SDP, SESSION, WITH_RATE, WITH_SETS, Camera

TIMEOUT_MS = 3000
SHORT_MS = 300
USER, PASSWORD = "admin", "hunter2"
REPORT = b"\x80\xc8\x00\x06" + bytes(24)  # RTCP, as it comes on the other channel
FILM = units(60, 20, 900)


def fixed_bytes(n):
    return bytes(range(n))


class Client:
    """A source at a camera, and what it logged."""

    def __init__(self, camera, *, timeout_ms=TIMEOUT_MS, password=PASSWORD, **options):
        self.logged = []
        self.source = RtspSource(
            self._open,
            options.get("url") or camera.url,
            user=options.get("user", USER),
            password=password,
            buffer_bytes=options.get("buffer_bytes", 20000),
            timeout_ms=timeout_ms,
            ticks_ms=options.get("ticks_ms", time.ticks_ms),
            random_bytes=fixed_bytes,
            log=self.logged.append,
        )

    async def _open(self, host, port):
        return await net.connect((host, port), timeout_ms=1000)

    async def take(self, count):
        """The next units as [(bytes, pts_90k, is_key)]."""
        taken = []
        while len(taken) < count:
            unit, pts_90k, is_key = await self.source.next()
            taken.append((bytes(unit), pts_90k, is_key))
        return taken

    def counts(self):
        source = self.source
        return source.lost_packets, source.dropped_units, source.oversized_units


def stream(made, channel=0):
    return b"".join([frame(packet, channel) for packet in made])


def plays(data, sdp=WITH_SETS, session=SESSION):
    """A camera that sends these bytes and then nothing."""

    async def behave(line):
        await line.play(sdp, session)
        await line.send(data)
        await line.wait_for_end()

    return behave


async def watch(behaviour, count, **options):
    """The first units that such a camera gives, and its client."""
    camera = await Camera(behaviour).start()
    client = Client(camera, **options)
    await client.source.start()
    taken = await client.take(count)
    client.source.stop()
    camera.close()
    return taken, client


async def failure(kind, behaviour, count=1, **options):
    """The error that ends it."""
    camera = await Camera(behaviour).start()
    client = Client(camera, **options)

    async def go():
        await client.source.start()
        await client.take(count)

    error = await raises_async(kind, go())
    client.source.stop()
    camera.close()
    return error


async def test_the_whole_conversation():
    camera = await Camera(plays(stream(film(FILM)))).start()
    client = Client(camera)
    await client.source.start()
    await client.take(3)
    client.source.stop()
    line = camera.lines[0]
    await asyncio.wait_for(line.has_ended.wait(), 5)
    track = camera.url + "/track1"
    eq(
        [(request.method, request.uri, request.headers) for request in line.requests],
        [
            ("DESCRIBE", camera.url, [("CSeq", "1"), ("Accept", "application/sdp")]),
            ("SETUP", track, [("CSeq", "2"), ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")]),
            (
                "PLAY",
                camera.url + "/",
                [("CSeq", "3"), ("Range", "npt=0.000-"), ("Session", SESSION)],
            ),
            ("TEARDOWN", camera.url + "/", [("CSeq", "4"), ("Session", SESSION)]),
        ],
    )
    camera.close()


async def test_every_picture_in_order():
    reports = frame(REPORT, 1)
    made = film(FILM, 65500, 0xFFFFF000, mtu=400)
    data = reports.join([frame(packet) for packet in made])
    taken, client = await watch(plays(data), 60)
    eq(taken, [(unit, n * 3600, key) for n, (unit, key) in enumerate(FILM)])
    source = client.source
    eq((source.codec, source.width, source.height, source.fps), ("h264", 320, 240, 20))
    eq((client.counts(), client.logged), ((0, 0, 0), []))


async def test_random_cuts_give_the_same_pictures():
    data = frame(REPORT, 1).join([frame(packet) for packet in film(FILM, mtu=700)])

    async def behave(line):
        await line.play()
        await line.send_cut(data)
        await line.wait_for_end()

    taken, client = await watch(behave, 60)
    eq([(unit, key) for unit, _, key in taken], FILM)
    eq(client.counts(), (0, 0, 0))


async def test_another_channel():
    async def behave(line):
        await line.describe()
        request = await line.expect("SETUP")
        transport = "RTP/AVP/TCP;unicast;interleaved=6-7;ssrc=1"
        await line.answer(request, headers=(("Transport", transport), ("Session", SESSION)))
        await line.answer(await line.expect("PLAY"))
        await line.send(stream([b"no RTP"], 0) + stream(film(FILM), 6))
        await line.wait_for_end()

    taken, _ = await watch(behave, 60)
    eq([unit for unit, _, _ in taken], [unit for unit, _ in FILM])


async def test_pictures_before_the_answer_to_play_do_no_harm():
    async def behave(line):
        await line.describe()
        await line.set_up()
        request = await line.expect("PLAY")
        made = film(FILM)
        await line.send(stream(made[:3]))
        await line.answer(request)
        await line.send(stream(made[3:]))
        await line.wait_for_end()

    taken, client = await watch(behave, 40)
    eq([(unit, key) for unit, _, key in taken], FILM[20:])
    eq(client.counts(), (0, 0, 0))


async def test_parameter_sets_from_the_description():
    bare = [(slice_nal(IDR if key else SLICE, n), key) for n, (_, key) in enumerate(FILM[:5])]
    taken, client = await watch(plays(stream(film(bare))), 5)
    eq(taken[0][0], sps() + pps() + bare[0][0])
    eq((client.source.width, client.source.height), (320, 240))
    error = await failure(ProtocolError, plays(stream(film([bare[0]] * 3)), WITH_RATE))
    assert "no SPS" in str(error), error


async def test_the_picture_changes():
    wide = sps(columns=40) + pps() + slice_nal(IDR, 5)
    pictures = FILM[:3] + [(wide, True), (slice_nal(SLICE, 6), False), (idr_unit(7), True)]
    camera = await Camera(plays(stream(film(pictures)))).start()
    client, sizes = Client(camera), []
    await client.source.start()
    for _ in pictures:
        await client.take(1)
        sizes.append(client.source.width)
    eq(sizes, [320, 320, 320, 640, 640, 320])
    client.source.stop()
    camera.close()


def rated_sps(tick, scale):
    """An SPS that tells of a frame rate."""
    bits = Bits().u(66, 8).u(0xC01E, 16).ue(0, 0, 0, 4, 1).u(0, 1).ue(19, 14).u(0b1101, 4)
    return nal(SPS, bits.u(0, 4).u(1, 1).u(tick, 32).u(scale, 32).u(0, 5).rbsp())


async def test_the_rate():
    rated = [(rated_sps(1, 60) + pps() + slice_nal(IDR, 0), True)] + FILM[1:30]
    for pictures, sdp, step, fps in (
        (rated, WITH_RATE, 3600, 20),  # as described
        (rated, SDP, 3600, 30),  # as the SPS says
        (FILM[:30], SDP, 3600, 25),  # as measured
        (FILM[:30], SDP, 90000, 1),
        (FILM[:30], SDP, 6006, 15),
        (FILM[:30], SDP, 450000, 1),  # a picture every five seconds
        (FILM[:30], SDP, 0, 25),  # no clock at all
    ):
        _, client = await watch(plays(stream(film(pictures, step=step)), sdp), 30)
        eq(client.source.fps, fps, "step %d" % step)


async def test_the_rate_is_measured_where_nothing_is_missing():
    made = film(FILM, step=3000)
    taken, client = await watch(plays(stream(made[:9] + made[10:]), SDP), 40)
    eq((len(taken), client.source.fps), (40, 30))


def digest(request, nonce, method, uri, extra=""):
    """The Authorization that this request should have."""

    def h(text):
        return hexlify(md5(text.encode()).digest()).decode()

    first, last = h("%s:cam:%s" % (USER, PASSWORD)), h("%s:%s" % (method, uri))
    middle = extra and ":00000001:0001020304050607:auth"
    return h("%s:%s%s:%s" % (first, nonce, middle, last))


def guarded(nonce, extra=""):
    """Asks every request for digest authentication once, and plays."""
    asked = ("WWW-Authenticate", 'Digest realm="cam", nonce="%s"%s' % (nonce, extra))

    async def behave(line):
        request = await line.expect("DESCRIBE")
        await line.answer(request, "401 Unauthorized", (asked,))
        for method in ("DESCRIBE", "SETUP", "PLAY"):
            request = await line.expect(method)
            if method == "DESCRIBE":
                expected = digest(request, nonce, method, request.uri, extra)
                assert 'response="%s"' % expected in request["Authorization"], request.headers
            assert 'uri="%s"' % request.uri in request["Authorization"]
            headers = (("Transport", request["Transport"]), ("Session", SESSION))
            await line.answer(request, "200 OK", headers, WITH_SETS if method == "DESCRIBE" else "")
        await line.send(stream(film(FILM)))
        await line.wait_for_end()

    return behave


async def test_digest():
    for extra in ("", ', qop="auth"'):
        taken, _ = await watch(guarded("n1", extra), 60)
        eq(len(taken), 60)


async def test_basic():
    async def behave(line):
        request = await line.expect("DESCRIBE")
        await line.answer(request, "401 Unauthorized", (("WWW-Authenticate", 'Basic realm="x"'),))
        await plays(stream(film(FILM)))(line)

    camera = await Camera(behave).start()
    client = Client(camera)
    await client.source.start()
    client.source.stop()
    await asyncio.wait_for(camera.lines[0].has_ended.wait(), 5)
    expected = "Basic " + b2a_base64(b"admin:hunter2").strip().decode()
    sent = [request["Authorization"] for request in camera.lines[0].requests]
    eq(sent, [None] + [expected] * 4)
    camera.close()


def refuses(*challenges):
    """Answers every request with 401 and the next of the challenges."""

    async def behave(line):
        number = 0
        while True:
            request = await line.request()
            if request is None:
                return
            value = challenges[min(number, len(challenges) - 1)]
            await line.answer(request, "401 Unauthorized", (("WWW-Authenticate", value),))
            number += 1

    return behave


async def test_a_wrong_password():
    for challenges in (
        ('Basic realm="x"',),
        ('Digest realm="x", nonce="a"',),
        ('Digest realm="x", nonce="a"', 'Digest realm="x", nonce="b"'),
    ):
        camera = await Camera(refuses(*challenges)).start()
        client = Client(camera)
        error = str(await raises_async(ProtocolError, client.source.start()))
        assert "RTSP: 401" in error and PASSWORD not in error, error
        eq(len(camera.lines[0].requests), 2, "it is tried once")
        camera.close()


async def test_a_camera_that_asks_for_ever():
    error = await failure(ProtocolError, refuses('Digest realm="x", nonce="a", stale=true'))
    assert "401 again and again" in str(error), error
    error = await failure(ProtocolError, refuses('Basic realm="x"'), user="", password="")
    assert "asks for a user" in str(error), error


def kept_alive(*answers, session=SESSION + ";timeout=1"):
    """Sends a picture every 50 ms and gives these answers to what keeps the session alive."""

    async def behave(line):
        await line.play(WITH_SETS, session)
        sending = asyncio.create_task(pictures(line))
        try:
            for status, headers in answers:
                await line.answer(await line.request(), status, headers)
            await line.wait_for_end()
        finally:
            sending.cancel()

    async def pictures(line):
        for packet in film(units(400, 20)):
            await line.send(frame(packet))
            await asyncio.sleep_ms(20)

    return behave


async def methods_sent(behaviour, count):
    """What a client says after PLAY, up to so many requests."""
    camera = await Camera(behaviour).start()
    client = Client(camera, timeout_ms=1000)
    await client.source.start()
    while len(camera.lines[0].requests) < 3 + count:
        await client.take(1)
    client.source.stop()
    camera.close()
    eq(client.counts(), (0, 0, 0))
    return camera.lines[0].requests[3 : 3 + count]


OK = ("200 OK", ())


async def test_it_says_that_it_is_alive():
    sent = await methods_sent(kept_alive(OK, OK), 2)
    eq([request.method for request in sent], ["GET_PARAMETER"] * 2)
    eq([request["Session"] for request in sent], [SESSION] * 2)


async def test_a_camera_without_get_parameter():
    for status in ("405 Method Not Allowed", "501 Not Implemented", "400 Bad Request"):
        sent = await methods_sent(kept_alive((status, ()), OK, OK), 3)
        eq([request.method for request in sent], ["GET_PARAMETER", "OPTIONS", "OPTIONS"], status)


async def test_a_nonce_that_grows_old_while_it_plays():
    stale = (("WWW-Authenticate", 'Digest realm="cam", nonce="n2", stale=true'),)
    sent = await methods_sent(kept_alive(("401 Unauthorized", stale), OK, OK), 3)
    eq(["Authorization" in dict(request.headers) for request in sent], [False, True, True])
    assert 'nonce="n2"' in sent[1]["Authorization"]


async def test_a_session_that_the_camera_has_forgotten():
    behaviour = kept_alive(("454 Session Not Found", ()))
    error = await failure(ProtocolError, behaviour, 400, timeout_ms=1000)
    assert "454 Session Not Found" in str(error), error
    behaviour = kept_alive(("405 No", ()), ("405 No", ()))
    error = await failure(ProtocolError, behaviour, 400, timeout_ms=1000)
    assert "405 No to OPTIONS" in str(error), error


async def test_requests_of_the_camera_are_answered():
    asked = b"OPTIONS * RTSP/1.0\r\nCSeq: 77\r\n\r\n", b"REDIRECT * RTSP/1.0\r\nCSeq: 78\r\n\r\n"
    answers = []

    async def behave(line):
        await line.describe()
        await line.set_up()
        request = await line.expect("PLAY")
        await line.send(asked[0])
        await line.answer(request)
        made = film(FILM)
        await line.send(stream(made[:5]) + asked[1] + stream(made[5:]))
        while len(answers) < 6:
            answers.append(await line._reader.readline())
        await line.wait_for_end()

    taken, client = await watch(behave, 60)
    eq((len(taken), client.counts()), (60, (0, 0, 0)))
    eq(
        b"".join(answers),
        b"RTSP/1.0 200 OK\r\nCSeq: 77\r\n\r\nRTSP/1.0 501 Not Implemented\r\nCSeq: 78\r\n\r\n",
    )


async def test_stop_wakes_who_waits():
    camera = await Camera(plays(stream(film(FILM)))).start()
    client = Client(camera)
    await client.source.start()
    await client.take(60)
    waiting = asyncio.create_task(raises_async(OSError, client.source.next()))
    await asyncio.sleep_ms(20)
    client.source.stop()
    client.source.stop()
    await asyncio.wait_for(waiting, 1)
    await raises_async(OSError, client.source.next())
    await asyncio.wait_for(camera.lines[0].has_ended.wait(), 5)
    eq(camera.lines[0].requests[-1].method, "TEARDOWN")
    camera.close()


async def test_start_begins_anew():
    camera = await Camera(plays(stream(film(FILM)) + b"$\x00\xff\xff half a packet")).start()
    client = Client(camera)
    for _ in range(3):
        await client.source.start()
        taken = await client.take(60)
        eq(taken, [(unit, n * 3600, key) for n, (unit, key) in enumerate(FILM)])
    client.source.stop()
    eq((len(camera.lines), client.counts()), (3, (0, 0, 0)))
    camera.close()


async def test_start_again_after_every_failure():
    async def hangs_up(line):
        await line.describe()

    good = plays(stream(film(FILM)))
    camera = await Camera(hangs_up, plays(b"garbage"), refuses("Basic"), good).start()
    client = Client(camera)
    for kind in (EOFError, ProtocolError, ProtocolError):
        await raises_async(kind, client.source.start())
        await raises_async(OSError, client.source.next())
    await client.source.start()
    eq(len(await client.take(60)), 60)
    client.source.stop()
    camera.close()


async def test_nobody_listens():
    camera = await Camera(plays(b"")).start()
    camera.close()
    await asyncio.sleep_ms(0)
    client = Client(camera, url="rtsp://127.0.0.1:1/live")
    await raises_async(OSError, client.source.start())


def test_a_wrong_url():
    error = str(raises(ValueError, Client, None, url="rtsps://127.0.0.1/live"))
    assert "rtsp://host[:port]/path" in error, error


def answers(up_to, text):
    """Is fine until the request of that name, which gets these bytes."""

    async def behave(line):
        for method, answer in (
            ("DESCRIBE", line.describe),
            ("SETUP", line.set_up),
            ("PLAY", None),
        ):
            if method == up_to:
                await line.expect(method)
                await line.send(text)
                break
            await answer()
        await line.wait_for_end()

    return behave


STEPS = ("DESCRIBE", "SETUP", "PLAY")


async def no_end(*behaviours):
    """Each of these must be given up in time."""
    await asyncio.gather(
        *[failure(asyncio.TimeoutError, one, 60, timeout_ms=SHORT_MS) for one in behaviours]
    )


async def test_silence_has_an_end_everywhere():
    for step in STEPS:
        texts = b"", b"RTSP/1.0 200", b"$\x00\xff\xff" + bytes(100)
        await no_end(*[answers(step, text) for text in texts])
    made = stream(film(FILM))
    ends = b"", made[:500], made[:-1], frame(REPORT, 1), b"$", b"RTSP/1.0 200 OK\r\n"
    await no_end(*[plays(data) for data in ends])


def talks(piece, up_to):
    """Says the same again and again, from that step on, until nobody listens."""

    async def behave(line):
        if up_to == "DESCRIBE":
            await line.expect("DESCRIBE")
        else:
            await line.play()
        while True:
            await line.send(piece)
            await asyncio.sleep_ms(1)

    return behave


async def test_talk_that_leads_nowhere_has_an_end():
    """What comes counts only if it is the answer, or a picture."""
    pieces = (
        frame(REPORT, 1),
        frame(b"x" * 1000, 77),
        frame(b"no RTP"),
        b"RTSP/1.0 100 Continue\r\nCSeq: 1\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nCSeq: 999\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        b"\r\n",
    )
    for step in ("DESCRIBE", "PLAY"):
        await no_end(*[talks(piece, step) for piece in pieces])


async def test_pictures_none_of_which_is_good_have_an_end():
    """A minute of them, on a clock that is a hundred times as fast."""

    async def behave(line):
        await line.play()
        for n in range(100000):
            await line.send(stream(packets(slice_nal(SLICE, n & 127), n, n * 3600)))
            await asyncio.sleep_ms(1)

    def fast_ms():
        return time.ticks_add(0, time.ticks_ms() * 100)

    begin = time.ticks_ms()
    await failure(asyncio.TimeoutError, behave, timeout_ms=20000, ticks_ms=fast_ms)
    assert time.ticks_diff(time.ticks_ms(), begin) >= 600


async def test_the_end_of_the_connection():
    made = stream(film(FILM))
    for step in STEPS:
        for text in (b"", b"RTSP/1.0 200 OK\r\nCSe", b"$\x00\x01"):

            async def behave(line):
                if step != "DESCRIBE":  # noqa: B023
                    await line.describe()
                if step == "PLAY":  # noqa: B023
                    await line.set_up()
                await line.request()
                await line.send(text)  # noqa: B023

            await failure(EOFError, behave)
    for data in (b"", made, made[:-3], made[:1000]):

        async def hang_up(line):
            await line.play()
            await line.send(data)  # noqa: B023

        await failure(EOFError, hang_up, 61)


async def test_what_is_no_rtsp():
    for step in STEPS:
        for text in (
            b"\x00\x01\x02\x03",
            b"HTTP/1.0 200 OK\r\n\r\n",
            b"RTSP/1.0 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
            b"RTSP/1.0 200 OK\r\nX: " + b"x" * 70000,
            b"Z" * 70000,
            b"RTSP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n",
        ):
            await failure(ProtocolError, answers(step, text))
    for data in (b"\xff" * 100, b"Z" * 9000, stream(film(FILM[:2])) + b"\x00" * 50):
        await failure(ProtocolError, plays(data), 3)


async def test_refusals_are_told():
    for step, line, told in (
        ("DESCRIBE", "404 Not Found", "RTSP: 404 Not Found to DESCRIBE"),
        ("DESCRIBE", "403", "RTSP: 403  to DESCRIBE"),
        ("DESCRIBE", "302 Moved Temporarily", "not followed"),
        ("SETUP", "461 Unsupported Transport", "RTSP: 461 Unsupported Transport to SETUP"),
        ("PLAY", "455 Method Not \x1b[31mValid " + "x" * 500, "RTSP: 455 Method Not [31mValid xxx"),
        ("PLAY", "500 Oops", "RTSP: 500 Oops to PLAY"),
        ("SETUP", "200 OK", "does not send through TCP"),
        ("DESCRIBE", "200 OK", "no H.264 video"),
    ):
        text = ("RTSP/1.0 %s\r\nCSeq: %d\r\n\r\n" % (line, STEPS.index(step) + 1)).encode()
        error = str(await failure(ProtocolError, answers(step, text)))
        assert told in error and len(error) < 150, error


async def test_lost_packets_are_told_once():
    made = film(FILM, mtu=300)
    for lost in (30, 100):
        made = made[:lost] + made[lost + 1 :]
    taken, client = await watch(plays(stream(made)), 20)
    eq(client.source.lost_packets > 0, True)
    eq(client.logged, ["RTSP: packets were lost, with the pictures up to the next IDR"])
    whole = [FILM.index((unit, key)) for unit, _, key in taken]
    eq(whole, sorted(whole))
    eq([pts // 3600 for _, pts, _ in taken], whole, "the clock goes on")


async def test_losses_are_told_after_each_start():
    made = film(FILM)
    lossy, good = plays(stream(made[:30] + made[31:])), plays(stream(made))
    camera = await Camera(lossy, good, lossy).start()
    client, told = Client(camera), []
    for _ in range(3):
        await client.source.start()
        await client.take(40)
        told.append(len(client.logged))
    client.source.stop()
    eq((told, client.source.lost_packets), ([1, 1, 2], 2))
    camera.close()


async def test_a_picture_larger_than_the_buffer_is_told_once():
    large = [(slice_nal(SLICE, 1, 5000), False), (slice_nal(SLICE, 2), False)]
    pictures = FILM[:2] + large + FILM[20:22] + large + FILM[40:42]
    taken, client = await watch(plays(stream(film(pictures))), 6, buffer_bytes=3072)
    eq([(unit, key) for unit, _, key in taken], FILM[:2] + FILM[20:22] + FILM[40:42])
    eq(client.counts(), (0, 4, 2))
    eq(len(client.logged), 1)
    assert "larger than 3 KB" in client.logged[0], client.logged


async def test_the_unit_is_lent_until_the_next_call():
    camera = await Camera(plays(stream(film(FILM)))).start()
    client = Client(camera)
    await client.source.start()
    for number in range(60):
        unit, _, _ = await client.source.next()
        await asyncio.sleep_ms(0)
        eq(bytes(unit), FILM[number][0])
    client.source.stop()
    camera.close()


async def allocated_by(pictures, mtu):
    """Bytes of heap that taking these pictures costs, when all of them have come already."""
    data = stream(film(pictures, mtu=mtu))
    sent = asyncio.Event()

    async def behave(line):
        await line.play()
        await line.send(data)
        sent.set()
        await line.wait_for_end()

    camera = await Camera(behave).start()
    client = Client(camera)
    await client.source.start()
    source = client.source
    await asyncio.wait_for(sent.wait(), 5)
    await source.next()
    await source.next()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(len(pictures) - 2):
        await source.next()
    used = gc.mem_alloc() - before
    gc.enable()
    source.stop()
    camera.close()
    return used, len(film(pictures, mtu=mtu))


async def test_packets_cost_no_memory():
    """The same pictures in many packets or in few; on CPython this shows nothing."""
    pictures = [(idr_unit(0), True)] + [(slice_nal(SLICE, n, 480), False) for n in range(1, 32)]
    few, few_packets = await allocated_by(pictures, 1400)
    many, many_packets = await allocated_by(pictures, 70)
    assert many_packets > few_packets + 150
    # A picture costs its tuple and its view; the headers of packets make up a few more reads.
    assert many - few < 1024, (few, many)
    if sys.implementation.name == "micropython":
        assert 0 < few < 30 * 600, few
