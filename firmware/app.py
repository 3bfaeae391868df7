"""The composition root: reads the configuration, builds the camera, keeps it running.

Nothing here decides anything about footage; it joins the parts with callables.
What cannot work (no card, no or a wrong config.json) is said on the console in
plain words, and the camera does not start.
"""

import asyncio
import gc
import sys
from time import ticks_diff, ticks_ms

from micropython import const

import mpegts
from firmware import VERSION, messages
from firmware.clip_store import ClipStore
from firmware.clock_keeper import ClockKeeper
from firmware.control import Control
from firmware.dialer import Dialer
from firmware.motion_trigger import MotionTrigger
from firmware.mqtt_link import MqttLink
from firmware.sd_recorder import SdRecorder
from firmware.sources.replay import ReplaySource
from firmware.start_up import StartUpError, load_config, require_file
from firmware.trigger import parse_priority
from firmware.upload_reporter import UploadReporter
from firmware.uploads import Uploads
from motion import MotionDetector
from supervise import Supervisor
from umqtt_codec import MqttCodec

_MQTT_TIMEOUT_MS = const(10000)
_MQTT_RETRY_MS = (1000, 60000)
_MQTT_QUEUE = const(32)
_MQTT_PACKET_BYTES = const(8192)


def log(text, error=None):
    """One line on the console, with the traceback of an error."""
    print(text)
    if error is not None:
        sys.print_exception(error)


def start(on_built=None):
    """Run the camera on this board until it is stopped by Ctrl-C; `on_built(camera)` gets it first.

    A main.py of one's own:

        start(lambda camera: camera.set_completion_callback(print))
    """
    from firmware.board import Board

    board = Board()
    try:
        asyncio.run(main(board, on_built))
    except KeyboardInterrupt:
        log("camera stopped")
    finally:
        board.release_watchdog()


async def main(board, on_built=None):
    """Start the camera; a board whose tasks keep dying is reset."""
    log("camera %s" % VERSION)
    try:
        camera = Camera(board, load_config(board))
        camera.open()
    except StartUpError as error:
        for line in error.lines:
            log("camera not started: " + line)
        return
    if on_built:
        on_built(camera)
    gc.collect()
    # Rarer than boot.py has it, yet before garbage and what stays are mixed all over the heap:
    # a packet needs 8 KB in one piece.
    gc.threshold(gc.mem_free() // 4)
    dead = await camera.run()
    log("resetting: %s dies again and again" % dead)
    board.reset()


class Camera:
    """All parts of one camera, joined by callables; its verbs are the product specification's."""

    def __init__(self, board, config):
        self._board = board
        self._config = config
        self._id = config["device_id"]
        self._topics = messages.Topics(self._id)
        self._dialer = Dialer(board.dns_servers)
        self._supervisor = Supervisor(log=log, randbits=board.randbits)
        self._store = ClipStore(board.card_root + "/recordings", log)
        self._link = self._build_link(config["mqtt"])
        self._reporter = UploadReporter(
            self._link.publish, self._topics, unix_time=board.unix_time, log=log
        )
        self._uploads = Uploads(
            board,
            config,
            self._store,
            link=self._link,
            dialer=self._dialer,
            reporter=self._reporter,
            topics=self._topics,
            log=log,
        )
        self._recorder = self._build_recorder(config["recorder"], config["source"])
        self._trigger = self._build_trigger(config["motion"])
        self._build_control()
        monitor = self._uploads.monitor
        self.get_upload_statistics = monitor.get_upload_statistics
        self.get_current_upload_progress = monitor.get_current_upload_progress
        self.set_progress_callback = monitor.set_progress_callback
        self.set_completion_callback = monitor.set_completion_callback
        self.enable_cloud_upload = self._uploads.enable

    def upload_file_to_cloud(self, path, priority="NORMAL"):
        """Queue a file of the recordings directory; ValueError says what is allowed, OSError if it is gone."""
        self._uploads.intake.file(path, parse_priority(priority))

    def open(self):
        """Touch the card and the network for the first time; StartUpError if that fails."""
        require_file("source.path", self._config["source"]["path"])
        if self._config["upload"]["ca_file"]:
            self._dialer.trust(self._config["upload"]["ca_file"])
        try:
            self._open_uploads()
        except OSError as error:
            raise StartUpError("the SD card cannot be used (%s)" % error)
        self._board.start_network(**self._config["network"])

    def _open_uploads(self):
        """A card that fails once is none to give up: a camera that does not start records nothing."""
        try:
            self._uploads.open()
        except OSError as error:
            log("the SD card failed, once more", error)
            self._uploads.open()

    async def run(self):
        """Run every task; returns the name of one that cannot be kept alive."""
        add = self._supervisor.add
        add("mqtt_link", self._link.run)
        add("retry_scheduler", self._uploads.scheduler.run)
        add("sd_recorder", self._recorder.run)
        add("motion_trigger", self._trigger.run)
        if self._config["time"]["ntp_host"]:
            add("clock_keeper", self._build_clock().run)
        if self._config["system"]["watchdog_sec"]:
            add("watchdog", self._feed_watchdog)
        return await self._supervisor.run()

    def _build_link(self, config):
        gone = (self._topics.presence, messages.presence("offline", VERSION))
        here = (self._topics.presence, messages.presence("online", VERSION))
        codec = MqttCodec(
            self._id,
            user=config["user"],
            password=config["password"],
            keepalive_sec=config["keepalive_sec"],
            will=gone,
            max_packet_bytes=_MQTT_PACKET_BYTES,
        )
        return MqttLink(
            self._dialer.open_stream,
            codec,
            host=config["host"],
            port=config["port"],
            birth=here,
            queue_limit=_MQTT_QUEUE,
            timeout_ms=_MQTT_TIMEOUT_MS,
            retry_ms=_MQTT_RETRY_MS,
            randbits=self._board.randbits,
            log=log,
            on_up=self._link_up,
            on_down=lambda reason: log("MQTT link down: " + reason),
        )

    def _build_recorder(self, config, source):
        replay = ReplaySource(
            source["path"],
            fps=source["fps"],
            pace=source["pace"],
            loop=source["loop"],
            buffer_bytes=source["largest_unit_kb"] * 1024,
            ticks_ms=ticks_ms,
        )
        return SdRecorder(
            replay,
            buffer=self._board.buffer(mpegts.BUFFER_BYTES),
            unix_time=self._board.unix_time,
            on_started=self._clip_started,
            on_clip=self._clip_done,
            on_error=self._clip_failed,
            on_grown=self._uploads.intake.grown,
            max_clip_ms=config["max_clip_sec"] * 1000,
            new_path=self._store.new_path,
        )

    def _build_trigger(self, config):
        detector = MotionDetector(
            hold_off_ms=config["hold_off_ms"],
            post_roll_ms=config["post_roll_sec"] * 1000,
            cool_down_ms=config["cool_down_sec"] * 1000,
            ticks_diff=ticks_diff,
        )
        return MotionTrigger(
            self._board.motion_sensor(config["pir_gpio"], config["pir_active_level"]),
            detector,
            start=self._recorder.start,
            stop=self._recorder.stop,
            ticks_ms=ticks_ms,
        )

    def _build_control(self):
        control = Control(
            fire=self._trigger.fire,
            upload_file=self._uploads.intake.file,
            requeue_failed=self._uploads.scheduler.requeue_failed,
            respond=lambda payload: self._link.publish(self._topics.command_response, payload, 1),
            log=log,
        )
        self._link.subscribe(self._topics.command, control.on_command)

    def _build_clock(self):
        board, host = self._board, self._config["time"]["ntp_host"]
        return ClockKeeper(
            lambda request, timeout_ms: self._dialer.ask_time(host, request, timeout_ms),
            is_network_up=board.is_network_up,
            unix_time=board.unix_time,
            set_unix_time=board.set_unix_time,
            random_bytes=board.random_bytes,
            log=log,
        )

    def _link_up(self):
        log("MQTT link up")
        self._uploads.scheduler.network_is_back()
        self._uploads.intake.look_again()

    def _clip_started(self, path, trigger, priority):
        self._uploads.intake.started(path, trigger, priority)
        self._reporter.recording_started(path, trigger, priority)

    def _clip_done(self, clip):
        self._uploads.intake.clip(clip)
        self._reporter.recording_completed(clip)

    def _clip_failed(self, path, error):
        self._uploads.intake.broken()
        self._reporter.recording_failed(path, error)

    async def _feed_watchdog(self):
        timeout_ms = self._config["system"]["watchdog_sec"] * 1000
        while True:
            self._board.feed_watchdog(timeout_ms)
            await asyncio.sleep_ms(timeout_ms // 4)
