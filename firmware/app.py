"""The composition root: reads the configuration, builds the camera, keeps it running.

Nothing here decides anything about footage; it joins the parts with callables.
What cannot work (no card, no or a wrong config.json) is said on the console in
plain words, and the camera does not start.
"""

import asyncio
import gc
import os
import sys
from binascii import hexlify
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

import mpegts
from firmware import VERSION, messages
from firmware.clip_store import ClipStore
from firmware.clock_keeper import ClockKeeper
from firmware.control import Control
from firmware.dialer import Dialer
from firmware.intake import Intake
from firmware.motion_trigger import MotionTrigger
from firmware.mqtt_link import MqttLink
from firmware.oss_uploader import OssUploader
from firmware.presign_client import PresignClient
from firmware.retry_scheduler import RetryScheduler
from firmware.sd_recorder import SdRecorder
from firmware.sources.replay import ReplaySource
from firmware.start_up import StartUpError, load_config, require_file
from firmware.upload_queue import UploadQueue
from firmware.upload_reporter import UploadReporter
from motion import MotionDetector
from supervise import Supervisor
from umqtt_codec import MqttCodec

_BLOCK_BYTES = const(8192)
_MQTT_TIMEOUT_MS = const(10000)
_MQTT_RETRY_MS = (1000, 60000)
_MQTT_QUEUE = const(32)
_MQTT_PACKET_BYTES = const(8192)


def log(text, error=None):
    """One line on the console, with the traceback of an error."""
    print(text)
    if error is not None:
        sys.print_exception(error)


def start():
    """Run the camera on this board until it is stopped by Ctrl-C."""
    from firmware.board import Board

    board = Board()
    try:
        asyncio.run(main(board))
    except KeyboardInterrupt:
        log("camera stopped")
    finally:
        board.release_watchdog()


async def main(board):
    """Start the camera; a board whose tasks keep dying is reset."""
    log("camera %s" % VERSION)
    try:
        camera = Camera(board, load_config(board))
        camera.open()
    except StartUpError as error:
        for line in error.lines:
            log("camera not started: " + line)
        return
    gc.collect()
    gc.threshold(-1)  # boot.py set it: from here on only what is short-lived is allocated
    dead = await camera.run()
    log("resetting: %s dies again and again" % dead)
    board.reset()


class Camera:
    """All parts of one camera, joined by callables."""

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
        self._scheduler = self._build_scheduler(config["upload"])
        self._recorder = self._build_recorder(config["recorder"], config["source"])
        self._intake = Intake(
            self._scheduler.add,
            directory=self._store.directory,
            config=config["upload"],
            is_recording=lambda path: path == self._recorder.path,
            to_unix=board.to_unix,
            log=log,
        )
        self._trigger = self._build_trigger(config["motion"])
        self._build_control()

    def open(self):
        """Touch the card and the network for the first time; StartUpError if that fails."""
        require_file("source.path", self._config["source"]["path"])
        if self._config["upload"]["ca_file"]:
            self._dialer.trust(self._config["upload"]["ca_file"])
        try:
            self._intake.adopt(self._store.open())
        except OSError as error:
            raise StartUpError("%s cannot be used (%s)" % (self._store.directory, error))
        self._board.start_network(**self._config["network"])

    async def run(self):
        """Run every task; returns the name of one that cannot be kept alive."""
        add = self._supervisor.add
        add("mqtt_link", self._link.run)
        add("retry_scheduler", self._scheduler.run)
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

    def _build_scheduler(self, config):
        board, reporter, slots = self._board, self._reporter, config["max_concurrent_uploads"]
        signer = PresignClient(
            lambda payload: self._link.publish(self._topics.upload_request, payload, 1),
            self._upload_request,
            new_request_id=lambda: "upload_" + hexlify(board.random_bytes(4)).decode(),
            timeout_ms=config["request_timeout_sec"] * 1000,
            log=log,
        )
        self._link.subscribe(self._topics.upload_response, signer.on_response)
        uploader = OssUploader(
            signer.request_url,
            self._dialer.open_stream,
            buffers=[board.buffer(_BLOCK_BYTES) for _ in range(slots)],
            timeout_ms=config["upload_timeout_sec"] * 1000,
            idle_timeout_ms=config["idle_timeout_sec"] * 1000,
            allow_insecure=config["allow_insecure_upload"],
            on_started=reporter.upload_started,
            on_progress=reporter.upload_progress,
            ticks_ms=ticks_ms,
            unix_time=board.unix_time,
        )
        return RetryScheduler(
            uploader.upload,
            UploadQueue(ticks_add=ticks_add, ticks_diff=ticks_diff),
            slots=slots,
            is_ready=self._is_ready,
            remove_file=os.remove,
            ticks_ms=ticks_ms,
            randbits=board.randbits,
            upload_delay_ms=config["upload_delay_sec"] * 1000,
            retry_delay_ms=config["retry_delay_sec"] * 1000,
            max_attempts=config["retry_max_attempts"],
            delete_after_upload=config["delete_after_upload"],
            on_completed=reporter.upload_completed,
            on_failed=reporter.upload_failed,
            log=log,
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
            on_started=self._reporter.recording_started,
            on_clip=self._clip_done,
            on_error=self._reporter.recording_failed,
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
            upload_file=self._intake.file,
            requeue_failed=self._scheduler.requeue_failed,
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

    def _is_ready(self):
        return self._link.is_up and self._board.unix_time() is not None

    def _link_up(self):
        log("MQTT link up")
        self._scheduler.requeue_failed(even_hopeless=False)

    def _upload_request(self, request_id, job):
        now = self._board.unix_time()
        stamp = (job.started_unix or now) + self._config["time"]["utc_offset_min"] * 60
        name = messages.cloud_name(self._id, self._board.date(stamp), messages.base_name(job.path))
        return messages.upload_request(self._id, request_id, job, name, now)

    def _clip_done(self, clip):
        self._reporter.recording_completed(clip)
        self._intake.clip(clip)

    async def _feed_watchdog(self):
        timeout_ms = self._config["system"]["watchdog_sec"] * 1000
        while True:
            self._board.feed_watchdog(timeout_ms)
            await asyncio.sleep_ms(timeout_ms // 4)
