"""Ways to the network: TCP and TLS connections, UDP exchanges, host names.

Everything that is waited for has a deadline, and nothing blocks the loop: the
port's own getaddrinfo is only ever given numbers.
"""

import asyncio
import os
import socket
import ssl

from micropython import const

import dns
from net_stream import Stream
from protocol_error import ProtocolError

_EAI_NONAME = const(-2)
_CACHED_HOSTS = const(8)
_DNS_ROUNDS = const(2)
_DNS_REPLY_BYTES = const(512)
_TCP_LEVEL = const(6)
_TCP_NODELAY = const(1)


async def connect(address, *, tls=None, server_hostname=None, timeout_ms):
    """A Stream to (numeric IPv4 address, port), through TLS when `tls` is an SSLContext.

    OSError when refused or unreachable, asyncio.TimeoutError after timeout_ms.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    stream = Stream(sock)
    try:
        await stream.dial(_sockaddr(address), timeout_ms)
        # A chunk's last, short segment must not wait for the acknowledgement of the others.
        sock.setsockopt(_TCP_LEVEL, _TCP_NODELAY, 1)
        if tls is not None:
            stream.secure(tls, server_hostname)
    except BaseException:
        stream.close()
        raise
    return stream


def _sockaddr(address):
    """(ip, port) as this port's sockets want it; a name here would block the loop, so it is refused."""
    if not dns.is_ipv4(address[0]):
        raise OSError(_EAI_NONAME, "not an IPv4 address: " + address[0])
    return socket.getaddrinfo(address[0], address[1])[0][-1]


def make_tls_context(*ca_certificates):
    """A client context that accepts only peers certified by one of these CAs (DER bytes each)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED  # type: ignore[attr-defined]  # not in the stubs
    for certificate in ca_certificates:
        context.load_verify_locations(cadata=certificate)
    return context


async def udp_exchange(address, request, *, timeout_ms, reply_bytes=512):
    """Send a datagram to (ip, port) and return the first that comes back from there."""
    stream = Stream(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    try:
        await stream.dial(_sockaddr(address), timeout_ms)
        await stream.write(request, len(request), timeout_ms)
        reply = bytearray(reply_bytes)
        n = await stream.readinto(reply, timeout_ms)
        return bytes(memoryview(reply)[:n])
    finally:
        stream.close()


async def resolve(host, *, cache, dns_servers, timeout_ms):
    """The IPv4 address of a host, as text, asked of the (ip, port) servers in turn.

    `cache` maps hosts to their last good addresses, which serve while no server
    answers. OSError(-2) when there is none.
    """
    if dns.is_ipv4(host):
        return host
    if host == "localhost":
        return "127.0.0.1"
    attempts = _DNS_ROUNDS * len(dns_servers)
    for attempt in range(attempts):
        server = dns_servers[attempt % len(dns_servers)]
        try:
            address = await _ask(server, host, timeout_ms // attempts)
        except (OSError, asyncio.TimeoutError, ProtocolError):
            continue  # the next server, or the same one again: a datagram may get lost
        _remember(cache, host, address)
        return address
    if host in cache:
        return cache[host]
    raise OSError(_EAI_NONAME, "no address for " + host)


async def _ask(server, host, timeout_ms):
    query_id = int.from_bytes(os.urandom(2), "big")
    query = dns.encode_query(query_id, host)
    reply = await udp_exchange(server, query, timeout_ms=timeout_ms, reply_bytes=_DNS_REPLY_BYTES)
    return dns.decode_reply(reply, query_id, host)


def _remember(cache, host, address):
    if len(cache) >= _CACHED_HOSTS and host not in cache:
        cache.clear()
    cache[host] = address
