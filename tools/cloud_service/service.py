"""The asyncio shell: subscribes, hands each message to the handler, publishes its reply.

Invariant: it ends only when it is cancelled. A broker that is lost or refuses is tried again with
full-jitter backoff; a message that breaks the handler is logged, and answered all the same.
Nothing that matters is kept between messages, so any number of services may run side by side.
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
from tools.cloud_service.handlers import TOPICS, UploadHandler
from tools.cloud_service.messages import MAX_REQUEST_BYTES
from tools.cloud_service.metrics import Metrics
from tools.cloud_service.read_back import MAX_WAITING
from tools.cloud_service.threads import MAX_IN_HAND

# messages that wait for the store leave some who answer the others
_WORKERS = MAX_IN_HAND + MAX_WAITING + 16
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


class MqttService:
    """Answers what comes over MQTT; `tls` comes from `tls_context`."""

    def __init__(
        self,
        config: MqttConfig,
        tls: ssl.SSLContext | None,
        handler: UploadHandler,
        metrics: Metrics,
    ) -> None:
        self._config = config
        self._tls = tls
        self._handler = handler
        self._metrics = metrics
        self.is_connected = False

    async def run(self) -> None:
        """Serve until cancelled."""
        attempt = 0
        while True:
            try:
                async with _client(self._config, self._tls) as client:
                    await _subscribe(client, self._config.share_group)
                    self._note_connected(True)
                    log.info("ready", broker=f"{self._config.host}:{self._config.port}")
                    attempt = 0
                    await self._answer_all(client)
            except (aiomqtt.MqttError, OSError) as error:
                self._note_connected(False)
                cap_sec = min(_BACKOFF_CAP_SEC, _BACKOFF_BASE_SEC * 2**attempt)
                wait_sec = random.uniform(0.1, cap_sec)
                attempt = min(attempt + 1, 10)
                log.warning("broker_lost", error=str(error), retry_in_sec=round(wait_sec, 1))
                await asyncio.sleep(wait_sec)

    def _note_connected(self, connected: bool) -> None:
        self.is_connected = connected
        self._metrics.broker_connected(connected)

    async def _answer_all(self, client: aiomqtt.Client) -> None:
        workers = [asyncio.ensure_future(self._work(client)) for _ in range(_WORKERS)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            await self._answer(client, message)

    async def _answer(self, client: aiomqtt.Client, message: aiomqtt.Message) -> None:
        topic, payload = str(message.topic), message.payload
        if message.retain or not isinstance(payload, bytes):
            log.warning("retained_request_ignored", topic=topic[:128])
            return
        _, device_id, kind = topic.split("/", 2)
        reply = await self._handler.answer(device_id, kind, payload)
        self._metrics.answered("mqtt", kind, reply)
        await client.publish(reply.topic, reply.payload, qos=1)
        log.answered(reply.event, reply.fault, reply.log)


def _client(config: MqttConfig, tls: ssl.SSLContext | None) -> aiomqtt.Client:
    limits = Properties(PacketTypes.CONNECT)
    limits.MaximumPacketSize = 2 * MAX_REQUEST_BYTES  # the broker drops what is larger
    client = aiomqtt.Client(
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
    client.pending_calls_threshold = _WORKERS  # as many as that are no reason for a warning
    return client


async def _subscribe(client: aiomqtt.Client, share_group: str) -> None:
    shared = f"$share/{share_group}/" if share_group else ""
    options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
    granted = await client.subscribe([(shared + topic, options) for topic in TOPICS])
    refused = [code for code in granted if not isinstance(code, int) and code.is_failure]
    if refused:
        raise aiomqtt.MqttError(f"the broker refuses a subscription: {refused[0]}")
