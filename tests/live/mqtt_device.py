"""The MQTT link as a program of its own, for either interpreter, telling what happens to it.

    MQTT_PORT=1883 DEVICE_ID=cam KEEPALIVE_SEC=2 INTERPRETER tests/run_device.py FILE serve

Echoes `{id}/in` on `{id}/out`; after the message "count" it counts on `{id}/count`
for ever, a number every 100 ms. All with QoS 1.
"""

import asyncio
import os
import random

import net
from firmware.mqtt_link import MqttLink
from umqtt_codec import MqttCodec

COUNT_EVERY_MS = 100
QUEUE_LIMIT = 200


async def open_stream(host, port):
    return await net.connect((host, port), timeout_ms=1000)


def log(text, error=None):
    print("log", text, repr(error))


async def serve():
    name = os.getenv("DEVICE_ID")
    link = MqttLink(
        open_stream,
        MqttCodec(
            name,
            keepalive_sec=int(os.getenv("KEEPALIVE_SEC")),
            will=(name + "/status", '{"status": "offline"}'),
            max_packet_bytes=512,
        ),
        host="127.0.0.1",
        port=int(os.getenv("MQTT_PORT")),
        birth=(name + "/status", '{"status": "online"}'),
        queue_limit=QUEUE_LIMIT,
        timeout_ms=1500,
        retry_ms=(100, 400),
        randbits=random.getrandbits,
        log=log,
        on_up=lambda: print("up"),
        on_down=lambda reason: print("down", reason),
    )

    counting = asyncio.Event()

    def echo(topic, payload, retained):
        print("retained" if retained else "echo", len(payload))
        if payload == b"count":
            counting.set()
        elif not retained:
            link.publish(name + "/out", payload, qos=1)

    async def count():
        await counting.wait()
        number = 0
        while True:
            if not link.publish(name + "/count", str(number), qos=1):
                print("full")
            number += 1
            await asyncio.sleep_ms(COUNT_EVERY_MS)

    link.subscribe(name + "/in", echo)
    await asyncio.gather(link.run(), count())
