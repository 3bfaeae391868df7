"""The frame source that the configuration asks for; of the others not even the code is loaded."""

from time import ticks_ms

from micropython import const

from firmware.start_up import StartUpError

_TIMEOUT_MS = const(10000)
_CAMERA_SETTINGS = ("width", "height", "fps", "gop_sec", "bitrate_kbps")


def frame_source(config, *, board, dialer, watcher, log):
    """`config` is the section `source`; `watcher` a LumaMotion or None. StartUpError when there
    can be no such source here.
    """
    kind = config["type"]
    if kind in ("esp_vision", "pydevices"):
        return _camera(kind, config, board, watcher, log)
    try:
        return _replay(config) if kind == "replay" else _rtsp(config, board, dialer, log)
    except MemoryError:
        raise StartUpError(
            "source.largest_unit_kb is %d: so much memory is not free" % config["largest_unit_kb"]
        )


def _replay(config):
    from firmware.sources.replay import ReplaySource

    return ReplaySource(
        config["path"],
        fps=config["fps"],
        pace=config["pace"],
        loop=config["loop"],
        buffer_bytes=config["largest_unit_kb"] * 1024,
        ticks_ms=ticks_ms,
    )


def _rtsp(config, board, dialer, log):
    from firmware.sources.rtsp import RtspSource

    return RtspSource(
        dialer.open_stream,
        config["url"],
        user=config["user"],
        password=config["password"],
        buffer_bytes=config["largest_unit_kb"] * 1024,
        timeout_ms=_TIMEOUT_MS,
        ticks_ms=ticks_ms,
        random_bytes=board.random_bytes,
        log=log,
    )


def _camera(kind, config, board, watcher, log):
    settings = {name: config[name] for name in _CAMERA_SETTINGS}
    settings["ticks_ms"], settings["watcher"], settings["log"] = ticks_ms, watcher, log
    if kind == "esp_vision":
        from firmware.sources.esp_vision import EspVisionSource

        return EspVisionSource(board.esp_vision_modules(), **settings)
    from firmware.sources.pydevices import PyDevicesSource

    pins = {name: config[name] for name in ("sda_gpio", "scl_gpio")}
    return PyDevicesSource(board.pydevices_modules(), **pins, **settings)
