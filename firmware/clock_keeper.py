"""Gives the camera the time: asks an NTP server until it knows, then now and again."""

import asyncio

from micropython import const

import sntp
from protocol_error import ProtocolError

_TIMEOUT_MS = const(3000)
_RETRY_MS = const(10 * 1000)
_REFRESH_MS = const(6 * 3600 * 1000)


class ClockKeeper:
    def __init__(self, exchange, *, is_network_up, unix_time, set_unix_time, random_bytes, log):
        """`await exchange(request, timeout_ms)` asks the NTP server and gives its answer."""
        self._exchange = exchange
        self._is_network_up = is_network_up
        self._unix_time = unix_time
        self._set_unix_time = set_unix_time
        self._random_bytes = random_bytes
        self._log = log
        self._is_synced = False

    @property
    def quality(self):
        """Where the time is from: "ntp" since the start, "rtc" from earlier, None when unknown."""
        if self._unix_time() is None:
            return None
        return "ntp" if self._is_synced else "rtc"

    async def run(self):
        """Keep the clock right, for ever. A clock that is set already is left for a while."""
        if self._unix_time() is not None:
            await asyncio.sleep_ms(_REFRESH_MS)
        while True:
            is_set = self._is_network_up() and await self._ask()
            await asyncio.sleep_ms(_REFRESH_MS if is_set else _RETRY_MS)

    async def _ask(self):
        nonce = self._random_bytes(8)
        try:
            reply = await self._exchange(sntp.encode_request(nonce), _TIMEOUT_MS)
            self._set_unix_time(sntp.decode_reply(reply, nonce))
            self._is_synced = True
        except (OSError, asyncio.TimeoutError, ProtocolError) as error:
            self._log("no time from the NTP server: %r" % error)
            return False
        return True
