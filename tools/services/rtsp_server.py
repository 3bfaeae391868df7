"""GStreamer's RTSP server on loopback: a camera of the LAN, with real footage."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from tools.material import Footage, footage
from tools.services.process import Server, ServiceError

# The system's interpreter: the bindings of GStreamer are Debian packages, not wheels.
_PYTHON = "/usr/bin/python3"
_SCRIPT = Path(__file__).with_name("rtsp_media.py")
_PROBE_TIMEOUT_SEC = 5.0


class RtspServer(Server):
    """Plays `film`, `loops` times over, to each client from its beginning and at its own pace.

    `auth`: "none", "basic" or "digest". See rtsp_media.py for the paths it serves.
    """

    name = "rtsp-server"
    user = "viewer"
    password = "p4-camera-tests"

    def __init__(
        self,
        film: Footage | None = None,
        *,
        loops: int = 30,
        auth: str = "none",
    ) -> None:
        super().__init__()
        self.film = film or footage("bikes")
        self.loops = loops
        self.auth = auth

    @property
    def url(self) -> str:
        return f"rtsp://{self.address}/live"

    def prepare(self) -> None:
        """Put the film into a container: a bare stream has no time stamps to send."""
        if not Path(_PYTHON).exists():
            raise ServiceError(f"`{_PYTHON}` is missing: sudo apt-get install python3")
        whole = self.directory / "film.h264"
        whole.write_bytes(self.film.h264.read_bytes() * self.loops)
        command = ["ffmpeg", "-v", "error", "-nostdin", "-framerate", str(self.film.fps)]
        command += ["-i", str(whole), "-c", "copy", str(self.directory / "film.mp4")]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise ServiceError("`ffmpeg` is missing: sudo apt-get install ffmpeg") from None
        except subprocess.CalledProcessError as error:
            raise ServiceError(f"ffmpeg: {error.stderr.strip()}") from None

    def command(self) -> list[str]:
        options = {
            "port": self.port,
            "auth": self.auth,
            "user": self.user,
            "password": self.password,
        }
        film = str(self.directory / "film.mp4")
        return [_PYTHON, "-I", str(_SCRIPT), film, *(f"--{k}={v}" for k, v in options.items())]

    def probe(self) -> None:
        """Ask for the description of the film, as a client does first of all."""
        request = f"DESCRIBE {self.url} RTSP/1.0\r\nCSeq: 1\r\n\r\n"
        expected = b"RTSP/1.0 200 OK" if self.auth == "none" else b"RTSP/1.0 401 "
        with socket.create_connection((self.host, self.port), _PROBE_TIMEOUT_SEC) as client:
            client.sendall(request.encode())
            answer = client.recv(4096)
        if not answer.startswith(expected):
            raise ServiceError(f"it answers {answer[:60]!r}")
