"""Ways out of the camera: names resolved and remembered, streams opened, one TLS context for all."""

from micropython import const

import net
import sntp
from firmware.start_up import StartUpError, read_small_file

_TIMEOUT_MS = const(10000)
_CA_BYTES = const(8192)


class Dialer:
    def __init__(self, dns_servers):
        """`dns_servers()` gives (ip, port) pairs."""
        self._dns_servers = dns_servers
        self._addresses = {}
        self._tls = None

    def trust(self, ca_file):
        """Accept, from now on, TLS peers that this CA (a DER file) vouches for; StartUpError."""
        certificate = read_small_file(ca_file, _CA_BYTES)
        try:
            self._tls = net.make_tls_context(certificate)
        except (OSError, ValueError) as error:
            raise StartUpError("upload.ca_file: %s is no DER certificate (%s)" % (ca_file, error))

    async def open_stream(self, host, port, tls=False):
        """A net.Stream to the host; OSError, asyncio.TimeoutError."""
        if tls and self._tls is None:
            self._tls = net.make_tls_context()  # trusts nobody
        address = (await self._resolve(host), port)
        context = self._tls if tls else None
        return await net.connect(address, tls=context, server_hostname=host, timeout_ms=_TIMEOUT_MS)

    async def ask_time(self, host, request, timeout_ms):
        """An NTP server's answer."""
        address = (await self._resolve(host), sntp.PORT)
        return await net.udp_exchange(address, request, timeout_ms=timeout_ms)

    def _resolve(self, host):
        return net.resolve(
            host, cache=self._addresses, dns_servers=self._dns_servers(), timeout_ms=_TIMEOUT_MS
        )
