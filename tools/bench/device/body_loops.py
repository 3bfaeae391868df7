"""Ways to send a file in chunks of 8 KiB: `body_loops.py WAY FILE BYTES PORT [SEND_BUFFER]`.

blocking and streams are what the uploader's body loop is held against: the shortest there can be,
and the one that asyncio's own streams suggest. hashing and reading, which send nothing, tell what
MD5 costs. The file is a whole number of chunks.
"""

import asyncio
import hashlib
import json
import socket
import sys

# Linux's numbers, which MicroPython does not name.
SOL_SOCKET = 1
SO_SNDBUF = 7


def request(size):
    return b"PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size


def reading(file, left, port):
    view = memoryview(bytearray(8192))
    while left:
        left -= file.readinto(view)


def hashing(file, left, port):
    view = memoryview(bytearray(8192))
    update = hashlib.md5().update
    while left:
        left -= file.readinto(view)
        update(view)


def blocking(file, left, port):
    view = memoryview(bytearray(8192))
    sock = socket.socket()
    sock.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    sock.write(request(left))
    while left:
        n = file.readinto(view)
        sock.write(view)
        left -= n
    return sock.read(12)


async def streams(file, left, port, send_buffer_bytes):
    view = memoryview(bytearray(8192))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    if send_buffer_bytes:
        writer.s.setsockopt(SOL_SOCKET, SO_SNDBUF, send_buffer_bytes)
    writer.write(request(left))
    await writer.drain()
    while left:
        n = file.readinto(view)
        writer.write(view)
        await writer.drain()
        left -= n
    return await reader.read(12)


WAYS = {"reading": reading, "hashing": hashing, "blocking": blocking}


def main(way, path, size, port, send_buffer_bytes=0):
    size, port = int(size), int(port)
    with open(path, "rb") as file:
        if way == "streams":
            answer = asyncio.run(streams(file, size, port, int(send_buffer_bytes)))
        else:
            answer = WAYS[way](file, size, port)
    if answer not in (None, b"HTTP/1.1 200"):
        raise ValueError(answer)
    print(json.dumps({"size_bytes": size}))


main(*sys.argv[1:])
