"""The same exchange over HTTP, for devices without MQTT, and what operators ask.

    POST /upload/request     the body and the answer of devices/{id}/upload/request
    POST /upload/complete    the body and the answer of devices/{id}/upload/complete
    GET  /metrics            Prometheus
    GET  /healthz            200 while the broker is connected, else 503

A device proves itself by its own bearer token. Nothing is encrypted here: that is a reverse
proxy's part, without which tokens and URLs are for everybody on the way to read.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping

from aiohttp import web
from pydantic import SecretStr

from tools.cloud_service import log
from tools.cloud_service.config import HttpConfig
from tools.cloud_service.handlers import COMPLETE, REQUEST, UploadHandler
from tools.cloud_service.messages import BAD_REQUEST, MAX_REQUEST_BYTES, UNAUTHORIZED
from tools.cloud_service.metrics import TEXT_TYPE, Metrics

_BEARER = "Bearer "
_MAX_HEADER_BYTES = 8190
_BODY_TIMEOUT_SEC = 10


class Tokens:
    """Tells whose token it is, in a time that tells nothing about the tokens."""

    def __init__(self, tokens: Mapping[str, SecretStr]) -> None:
        self._digests = [
            (device, hashlib.sha256(token.get_secret_value().encode()).digest())
            for device, token in tokens.items()
        ]

    def owner(self, header: str) -> str | None:
        """The device whose token an Authorization header bears; all are compared every time."""
        given = header[len(_BEARER) :] if header[: len(_BEARER)] == _BEARER else ""
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        owner = None
        for device, known in self._digests:
            if hmac.compare_digest(digest, known):
                owner = device
        return owner


class HttpApi:
    """Serves between `start` and `stop`; `is_healthy` is asked by /healthz."""

    def __init__(
        self,
        config: HttpConfig,
        handler: UploadHandler,
        metrics: Metrics,
        is_healthy: Callable[[], bool],
    ) -> None:
        self._config = config
        self._handler = handler
        self._metrics = metrics
        self._is_healthy = is_healthy
        self._tokens = Tokens(config.tokens)
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.router.add_post(f"/{REQUEST}", self._request)
        app.router.add_post(f"/{COMPLETE}", self._complete)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/healthz", self._show_health)
        self._runner = web.AppRunner(
            app, access_log=None, max_line_size=_MAX_HEADER_BYTES, max_field_size=_MAX_HEADER_BYTES
        )

    async def start(self) -> None:
        """Listen; OSError when the address cannot be had."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._config.host, self._config.port).start()
        log.info("http_ready", address=f"{self._config.host}:{self._config.port}")

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _request(self, request: web.Request) -> web.Response:
        return await self._answer(request, REQUEST)

    async def _complete(self, request: web.Request) -> web.Response:
        return await self._answer(request, COMPLETE)

    async def _answer(self, request: web.Request, kind: str) -> web.Response:
        device = self._tokens.owner(request.headers.get("Authorization", ""))
        if device is None:
            return self._refuse(401, kind, UNAUTHORIZED, "no such token")
        try:
            body = await asyncio.wait_for(request.read(), _BODY_TIMEOUT_SEC)
        except web.HTTPRequestEntityTooLarge:
            told = f"a request has at most {MAX_REQUEST_BYTES} bytes"
            return self._refuse(413, kind, BAD_REQUEST, told)
        except asyncio.TimeoutError:
            return self._refuse(408, kind, BAD_REQUEST, "the body does not come")
        reply = await self._handler.answer(device, kind, body, "token")
        self._metrics.answered("http", kind, reply)
        log.answered(reply.event, reply.fault, {**reply.log, "transport": "http"})
        return web.Response(body=reply.payload, content_type="application/json")

    def _refuse(self, status: int, kind: str, code: str, message: str) -> web.Response:
        self._metrics.refused(kind, code)
        log.info("refused", transport="http", error_code=code, error_message=message)
        told = {"success": False, "request_id": "", "error_code": code, "error_message": message}
        return web.Response(
            status=status,
            body=json.dumps(told).encode(),
            content_type="application/json",
            headers={"WWW-Authenticate": "Bearer"} if status == 401 else {},
        )

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": TEXT_TYPE})

    async def _show_health(self, _request: web.Request) -> web.Response:
        if self._is_healthy():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="no broker\n")
