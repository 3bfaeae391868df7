"""HTTP in front of the store: OSS's headers, keep-alive, early refusals.

Everything that can be refused by the headers alone is refused before the body is asked for: the
answer goes out, then the connection ends, while the client may still be sending. A body that ends
early leaves nothing behind. One line per request is printed.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import secrets
import socket
import ssl
import sys
import time
import traceback
from datetime import datetime, timezone
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tools.services.oss import auth
from tools.services.oss.answers import Answer
from tools.services.oss.body import WireBody
from tools.services.oss.errors import OssError
from tools.services.oss.objects import Store
from tools.services.oss.operations import Operations
from tools.services.oss.request import Account, parse

_LINGER_SEC = 2.0
_DISCARDED_BYTES = 1 << 16
_INTERNAL = "We encountered an internal error. Please try again."
_TIMEOUT = (
    "Your socket connection to the server was not read from or written to within the timeout"
    " period."
)


class OssServer(ThreadingHTTPServer):
    """One account, one region, one directory."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], directory: Path, account: Account, idle_sec: float
    ) -> None:
        self.account = account
        self.idle_sec = idle_sec
        self.operations = Operations(Store(directory))
        super().__init__(address, Handler)

    def use_tls(self, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # The handshake is left to the connection's own thread.
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no fault of the server's; anything else is."""
        error = sys.exc_info()[1]
        if isinstance(error, (ConnectionError, TimeoutError, ssl.SSLError)):
            print(f"connection of {client_address} ended: {error!r}", flush=True)
        else:
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    server: OssServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    _request_id = ""
    _started = 0.0
    _body: WireBody | None = None

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.idle_sec)

    def serve(self) -> None:
        self._request_id = secrets.token_hex(12).upper()
        self._started = time.monotonic()
        self._body = None
        try:
            answer = self._answer()
        except OssError as error:
            self._refuse(error)
        except TimeoutError:
            self._refuse(OssError(400, "RequestTimeout", _TIMEOUT))
        except ConnectionError:
            raise
        except Exception:
            traceback.print_exc(file=sys.stdout)
            self._refuse(OssError(500, "InternalError", _INTERNAL))
        else:
            self._respond(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = do_PATCH = serve

    def _answer(self) -> Answer:
        """Signature first, then what the headers tell, and the body last."""
        length, encoding = self.headers["Content-Length"], self.headers["Transfer-Encoding"]
        self._body = WireBody(self.rfile, length, encoding or "", self._continue)
        account = self.server.account
        request = parse(self.command, self.path, list(self.headers.items()), account.region)
        auth.check(request, account, datetime.now(timezone.utc))
        return self.server.operations.perform(request, self._body)

    def _continue(self) -> None:
        if (self.headers["Expect"] or "").lower() == "100-continue":
            super().handle_expect_100()

    def _refuse(self, error: OssError) -> None:
        document = error.document(self._request_id, self.headers["Host"] or "")
        headers = {"Content-Type": "application/xml", **error.headers}
        if error.ec:
            headers["x-oss-ec"] = error.ec
        if self.command == "HEAD":
            headers["x-oss-err"] = base64.b64encode(document).decode()
        body = () if error.status == 304 else (document,)
        self._respond(Answer(error.status, headers, body, len(document)), error.code)

    def _respond(self, answer: Answer, code: str = "") -> None:
        has_unread_body = self._body is None or not self._body.is_read
        if has_unread_body:
            self.close_connection = True
        line = self.requestline.encode("ascii", "backslashreplace").decode()
        print(f"{self._request_id} {line} {answer.status} {code}", flush=True)
        self.send_response(answer.status)
        headers = {
            "x-oss-request-id": self._request_id,
            "x-oss-server-time": str(round((time.monotonic() - self._started) * 1000)),
            "Connection": "close" if self.close_connection else "keep-alive",
            **answer.headers,
        }
        if answer.status not in (204, 304):
            headers["Content-Length"] = str(answer.length)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            for data in answer.body:
                self.wfile.write(data)
        if has_unread_body:
            self._linger()

    def _linger(self) -> None:
        """Let the client read the answer: closing with bytes unread would reset it away."""
        self.wfile.flush()
        end = time.monotonic() + _LINGER_SEC
        with contextlib.suppress(OSError):  # the client has gone, or says no more
            self.connection.shutdown(socket.SHUT_WR)
            while (left := end - time.monotonic()) > 0:
                self.connection.settimeout(left)
                if not self.connection.recv(_DISCARDED_BYTES):
                    return

    def handle_expect_100(self) -> bool:
        """Not yet: the body is asked for when it is wanted."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses: a broken request line, headers without end."""
        self.request_version = self.protocol_version  # else the answer would be HTTP/0.9's
        self.headers = Message()
        self._body = None
        self._refuse(OssError(code, "BadRequest", message or "Bad Request"))

    def version_string(self) -> str:
        return "AliyunOSS"

    def log_message(self, format: str, *args: object) -> None:
        """Requests are told of above, with their codes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True, help="HOST:PORT to listen on")
    parser.add_argument("--directory", required=True, type=Path)
    parser.add_argument("--region", required=True)
    parser.add_argument("--idle-sec", type=float, default=60.0)
    parser.add_argument("--certificate", type=Path, help="PEM; with --key, HTTPS alone")
    parser.add_argument("--key", type=Path)
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    account = Account(
        os.environ["OSS_ACCESS_KEY_ID"],
        os.environ["OSS_ACCESS_KEY_SECRET"],
        options.region,
        os.environ.get("OSS_SESSION_TOKEN", ""),
    )
    server = OssServer((host, int(port)), options.directory, account, options.idle_sec)
    if options.certificate:
        server.use_tls(options.certificate, options.key)
    server.serve_forever()
