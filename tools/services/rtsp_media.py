"""GStreamer's RTSP server for one film (H.264 in MP4); run by the system's Python.

    /usr/bin/python3 rtsp_media.py FILM --port N --auth none|basic|digest --user U --password P

Each client gets the film from its beginning, at its own pace, through its connection: `/live` as
rtph264pay sends it, `/aggregated` with small NAL units together in one packet (STAP-A). `/h265` and
`/sound` have no H.264.
"""

import argparse
import signal
import sys

try:
    import gi  # type: ignore[import-not-found]

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # type: ignore[import-not-found]
except (ImportError, ValueError) as missing:
    sys.exit(f"{missing}: sudo apt-get install python3-gi gir1.2-gst-rtsp-server-1.0")

FILM = "filesrc location={film} ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96"
PATHS = {
    "/live": FILM,
    "/aggregated": FILM + " aggregate-mode=zero-latency",
    "/h265": "videotestsrc is-live=true ! x265enc ! rtph265pay name=pay0 pt=96",
    "/sound": "audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0",
}
METHODS = {"basic": GstRtsp.RTSPAuthMethod.BASIC, "digest": GstRtsp.RTSPAuthMethod.DIGEST}
ROLE = "viewer"
RIGHTS = f"{ROLE}, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"


def factory(launch: str, has_auth: bool) -> GstRtspServer.RTSPMediaFactory:
    made = GstRtspServer.RTSPMediaFactory()
    made.set_launch(f"( {launch} )")
    made.set_shared(False)
    made.set_protocols(GstRtsp.RTSPLowerTrans.TCP)
    if has_auth:
        made.add_role_from_structure(Gst.Structure.new_from_string(RIGHTS))
    return made


def authentication(method: str, user: str, password: str) -> GstRtspServer.RTSPAuth:
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(METHODS[method])
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    if method == "basic":
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    else:
        auth.add_digest(user, password, token)
    return auth


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("film")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--auth", choices=["none", *METHODS], default="none")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(given.port))
    has_auth = given.auth != "none"
    if has_auth:
        server.set_auth(authentication(given.auth, given.user, given.password))
    for path, launch in PATHS.items():
        server.get_mount_points().add_factory(
            path, factory(launch.format(film=given.film), has_auth)
        )
    if server.attach(None) == 0:
        print(f"port {given.port} is taken", file=sys.stderr)
        return 1
    loop = GLib.MainLoop()
    for number in (signal.SIGTERM, signal.SIGINT):
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, number, loop.quit)
    loop.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
