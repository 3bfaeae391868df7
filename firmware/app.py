"""The composition root: reads the configuration, builds the camera, keeps it running.

Nothing here decides anything about footage; it joins the parts with callables.
What cannot work (no card, no or a wrong config.json) is said on the console in
plain words, and the camera does not start.
"""

import asyncio
import gc
import sys

from micropython import const

from firmware import VERSION, messages
from firmware.card_keeper import BACK, CardKeeper
from firmware.clip_store import ClipStore
from firmware.clock_keeper import ClockKeeper
from firmware.control import Control
from firmware.dialer import Dialer
from firmware.mqtt_link import MqttLink
from firmware.recording import Recording
from firmware.start_up import StartUpError, require_file, twice, wait_for_card, wait_for_config
from firmware.trigger import parse_priority
from firmware.upload_reporter import UploadReporter
from firmware.uploads import Uploads
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
        camera = Camera(board, await wait_for_config(board, log))
        await wait_for_card(board, camera.open, log, is_mounted=True)
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
        self._clock = self._build_clock()
        self._uploads = Uploads(
            board,
            config,
            self._store,
            link=self._link,
            dialer=self._dialer,
            reporter=self._reporter,
            topics=self._topics,
            clock_quality=lambda: self._clock.quality,
            log=log,
            has_card=self._can_read_card,
            may_write=self._has_card,
            on_card_error=self._card_failed,
        )
        self._recording = Recording(
            board,
            config,
            self._store,
            uploads=self._uploads,
            has_card=self._has_card,
            on_card_error=self._card_failed,
            reporter=self._reporter,
            dialer=self._dialer,
            log=log,
        )
        self._card = self._build_card_keeper()
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
        if self._config["source"]["type"] == "replay":
            require_file("source.path", self._config["source"]["path"])
        if self._config["upload"]["ca_file"]:
            self._dialer.trust(self._config["upload"]["ca_file"])
        self._open_uploads()
        self._board.start_network(**self._config["network"])

    def _open_uploads(self):
        """Whatever the card refuses, the keeper goes on trying: whoever has MQTT can say so."""
        try:
            twice(self._uploads.open)
        except OSError as error:
            return self._card.lost(error)
        try:
            self._uploads.begin_writing()
        except OSError as error:
            self._card.refused(error)

    async def run(self):
        """Run every task; returns the name of one that cannot be kept alive."""
        add = self._supervisor.add
        add("mqtt_link", self._link.run)
        add("retry_scheduler", self._uploads.scheduler.run)
        add("card_keeper", self._card.run)
        add("sd_recorder", self._recording.recorder.run)
        add("motion_trigger", self._recording.trigger.run)
        add("retention", self._recording.retention.run)
        if self._config["time"]["ntp_host"]:
            add("clock_keeper", self._clock.run)
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

    def _build_card_keeper(self):
        board, uploads, recording = self._board, self._uploads, self._recording
        return CardKeeper(
            probe=board.probe_card,
            mount=board.mount_card,
            may_mount=lambda: board.remounts_card,
            is_in_use=lambda: recording.is_on_card or uploads.scheduler.is_running,
            let_go=uploads.intake.close,
            take_up=self._take_up_card,
            mend=uploads.mend,
            on_change=self._card_changed,
            reset=board.reset,
            log=log,
        )

    def _has_card(self):
        return self._card.is_there

    def _can_read_card(self):
        return self._card.is_readable

    def _card_failed(self, error):
        self._card.failed(error)

    def _card_changed(self, event, text):
        self._reporter.card_changed(event, text)
        if event == BACK:  # what failed may have failed for the card
            self._uploads.scheduler.requeue_failed(even_hopeless=False)

    async def _take_up_card(self):
        await self._uploads.take_up()
        self._recording.retention.restart()

    def _build_control(self):
        control = Control(
            fire=self._recording.trigger.fire,
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

    async def _feed_watchdog(self):
        timeout_ms = self._config["system"]["watchdog_sec"] * 1000
        while True:
            self._board.feed_watchdog(timeout_ms)
            await asyncio.sleep_ms(timeout_ms // 4)
