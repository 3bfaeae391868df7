"""The quickest upload that this interpreter can do: `blocking_upload.py PLAN`. Prints its time.

No event loop, no deadline, no MD5, no proof: what it takes is the interpreter's, its TLS and the
store's.
"""

import json
import socket
import ssl
import sys
from time import ticks_diff, ticks_ms

import url

VIEW = memoryview(bytearray(8192))


def connect(parts, ca):
    sock = socket.socket()
    sock.connect(socket.getaddrinfo(parts.host, parts.port)[0][-1])
    if not parts.is_tls:
        return sock
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED
    with open(ca, "rb") as file:
        context.load_verify_locations(cadata=file.read())
    return context.wrap_socket(sock, server_hostname=parts.host)


def send(sock, n):
    sent = 0
    while sent < n:  # TLS takes half a chunk at a time
        sent += sock.write(VIEW, sent, n - sent)


def main(path):
    with open(path) as file:
        told = json.load(file)
    response, left = json.loads(told["response"]), told["size_bytes"]
    parts = url.split(response["upload_url"])
    head = "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    head = (head % (parts.target, parts.host_header, response["content_type"], left)).encode()
    started_ms = ticks_ms()
    sock = connect(parts, told["ca"])
    VIEW[: len(head)] = head
    send(sock, len(head))
    with open(told["path"], "rb") as file:
        while left:
            n = file.readinto(VIEW)
            send(sock, n)
            left -= n
    answer = sock.read(12)
    if answer != b"HTTP/1.1 200":
        raise ValueError(answer)
    print(json.dumps({"duration_ms": ticks_diff(ticks_ms(), started_ms)}))


main(sys.argv[1])
