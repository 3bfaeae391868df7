"""The asyncio shell: subscribes, hands each request to the handler, publishes its reply.

Invariant: it ends only when it is cancelled. A broker that is lost or refuses is tried again with
full-jitter backoff; a message that breaks the handler is logged and costs nobody else an answer.
Nothing is kept between messages, so any number of services may run side by side.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tools.cloud_service import log
from tools.cloud_service.config import ConfigError, MqttConfig
from tools.cloud_service.handlers import MAX_REQUEST_BYTES, REQUEST_TOPICS, UploadHandler

_WORKERS = 8  # one slow acknowledgement does not hold up other cameras
_QUEUE_MESSAGES = 1000  # beyond it, messages are dropped, and cameras ask again
_KEEPALIVE_SEC = 15
_TIMEOUT_SEC = 10
# a reply must not wait behind the acknowledgement of its request (Nagle, 40 ms)
_NO_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
_BACKOFF_BASE_SEC = 0.5
_BACKOFF_CAP_SEC = 30


def tls_context(config: MqttConfig) -> ssl.SSLContext | None:
    """Always verifying; None without TLS; raises ConfigError for files it cannot load."""
    if not config.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
        if config.cert_file:
            context.load_cert_chain(config.cert_file, config.key_file)
    except OSError as error:
        raise ConfigError(f"mqtt: cannot load ca_file, cert_file or key_file: {error}") from error
    return context


async def serve(config: MqttConfig, tls: ssl.SSLContext | None, handler: UploadHandler) -> None:
    """Answer requests until cancelled; `tls` comes from `tls_context`."""
    attempt = 0
    while True:
        try:
            async with _client(config, tls) as client:
                await _subscribe(client)
                log.info("ready", broker=f"{config.host}:{config.port}")
                attempt = 0
                await _answer_all(client, handler)
        except (aiomqtt.MqttError, OSError) as error:
            wait_sec = random.uniform(0.1, min(_BACKOFF_CAP_SEC, _BACKOFF_BASE_SEC * 2**attempt))
            attempt = min(attempt + 1, 10)
            log.warning("broker_lost", error=str(error), retry_in_sec=round(wait_sec, 1))
            await asyncio.sleep(wait_sec)


def _client(config: MqttConfig, tls: ssl.SSLContext | None) -> aiomqtt.Client:
    limits = Properties(PacketTypes.CONNECT)
    limits.MaximumPacketSize = 2 * MAX_REQUEST_BYTES  # the broker drops what is larger
    return aiomqtt.Client(
        config.host,
        config.port,
        username=config.username,
        password=config.password.get_secret_value() if config.password else None,
        protocol=aiomqtt.ProtocolVersion.V5,
        properties=limits,
        keepalive=_KEEPALIVE_SEC,
        timeout=_TIMEOUT_SEC,
        socket_options=[_NO_DELAY],
        max_queued_incoming_messages=_QUEUE_MESSAGES,
        tls_context=tls,
    )


async def _subscribe(client: aiomqtt.Client) -> None:
    options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
    granted = await client.subscribe(REQUEST_TOPICS, options=options)
    if any(code.is_failure for code in granted if not isinstance(code, int)):
        raise aiomqtt.MqttError(
            f"the broker refuses the subscription to {REQUEST_TOPICS}: {granted[0]}"
        )


async def _answer_all(client: aiomqtt.Client, handler: UploadHandler) -> None:
    workers = [asyncio.ensure_future(_work(client, handler)) for _ in range(_WORKERS)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _work(client: aiomqtt.Client, handler: UploadHandler) -> None:
    async for message in client.messages:
        await _answer(client, handler, message)


async def _answer(client: aiomqtt.Client, handler: UploadHandler, message: aiomqtt.Message) -> None:
    topic, payload = str(message.topic), message.payload
    if message.retain or not isinstance(payload, bytes):
        log.warning("retained_request_ignored", topic=topic[:128])
        return
    try:
        reply = handler.handle(topic, payload)
    except Exception:  # one request's fault alone
        log.failure("handler_failed", topic=topic[:128])
        return
    await client.publish(reply.topic, reply.payload, qos=1)
    log.info("refused" if "error_code" in reply.log else "granted", **reply.log)
