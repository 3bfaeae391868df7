"""The recording half of the camera, put together: frames, pre-roll, motion, recorder, retention."""

import os
from errno import EACCES
from time import ticks_diff, ticks_ms

from micropython import const

import mpegts
from firmware.frame_source import frame_source
from firmware.motion_trigger import MotionTrigger
from firmware.recording_plan import RecordingPlan
from firmware.retention import Retention
from firmware.sd_recorder import SdRecorder
from firmware.start_up import StartUpError
from firmware.upload_windows import local_sec_of_day
from motion import Debounce, MotionDetector

_UNITS_A_SEC = const(60)  # what the ring has places for; with more the pre-roll is shorter
_FULL = (const(28), EACCES)  # ENOSPC, and what FAT says when a directory cannot grow
_MB = const(1000000)
_DAY_SEC = const(86400)


class Recording:
    """`recorder`, `trigger` and `retention` of one camera, joined by callables."""

    def __init__(
        self, board, config, store, *, uploads, has_card, on_card_error, reporter, dialer, log
    ):
        """`config` is the whole configuration, `store` the ClipStore; has_card() and
        on_card_error(OSError) as for Uploads.
        """
        self._board, self._reporter, self._uploads = board, reporter, uploads
        self._intake = uploads.intake
        self._has_card, self._on_card_error = has_card, on_card_error
        self._utc_offset_min = config["time"]["utc_offset_min"]
        recorder, motion = config["recorder"], config["motion"]
        self._plan = RecordingPlan(recorder["schedule"], recorder["mode"] == "continuous")
        self._build_detectors(motion)
        self.retention = self._build_retention(config["retention"], store, uploads.journal, log)
        self.recorder = SdRecorder(
            frame_source(
                config["source"], board=board, dialer=dialer, watcher=self._pixels, log=log
            ),
            ring=_ring(recorder),
            buffer=board.buffer(mpegts.BUFFER_BYTES),
            on_source=self._source_changed,
            on_unit=self._sizes and (lambda size, is_key, pts: self._sizes.feed(size, is_key)),
            pre_roll_ms=recorder["pre_roll_sec"] * 1000,
            stall_ms=config["source"]["stall_sec"] * 1000,
            ticks_ms=ticks_ms,
            randbits=board.randbits,
            log=log,
            unix_time=board.unix_time,
            on_started=self._started,
            on_raised=self._intake.raised,
            on_clip=self._done,
            on_error=self._failed,
            on_grown=self._grown,
            may_record=self._may_record,
            max_clip_ms=recorder["max_clip_sec"] * 1000,
            new_path=store.new_path,
        )
        self.trigger = self._build_trigger(motion)

    @property
    def is_on_card(self):
        """Whether a file or the directory is open."""
        return self.recorder.is_recording or self.retention.is_looking

    def _build_detectors(self, config):
        """What sees motion in the picture, if anything; of the others not even the code is loaded."""
        self._sizes = self._pixels = None
        if config["detect"] == "size":
            from size_motion import SizeMotion

            self._sizes = SizeMotion(config["sensitivity"])
        elif config["detect"] == "luma":
            from luma_motion import LumaMotion

            self._pixels = LumaMotion(config["sensitivity"], config["zones"])

    def _build_trigger(self, config):
        sees_motion = self._board.motion_sensor(config["pir_gpio"], config["pir_active_level"])
        debounce = Debounce(config["debounce_ms"], ticks_diff)
        picture = self._sizes or self._pixels
        return MotionTrigger(
            lambda: debounce.update(sees_motion(), ticks_ms()) or (picture and picture.is_moving),
            MotionDetector(
                hold_off_ms=config["hold_off_ms"],
                post_roll_ms=config["post_roll_sec"] * 1000,
                cool_down_ms=config["cool_down_sec"] * 1000,
                ticks_diff=ticks_diff,
            ),
            start=self.recorder.start,
            switch=self.recorder.switch,
            stop=self.recorder.stop,
            background=self._background,
            ticks_ms=ticks_ms,
        )

    def _build_retention(self, config, store, journal, log):
        board, reporter = self._board, self._reporter
        return Retention(
            store,
            journal,
            statvfs=lambda: os.statvfs(board.card_root),
            reserve_bytes=config["reserve_mb"] * _MB,
            quota_bytes=config["quota_mb"] * _MB,
            max_age_sec=config["max_age_days"] * _DAY_SEC,
            unix_time=board.unix_time,
            to_unix=board.to_unix,
            is_busy=lambda path: path == self.recorder.path,
            is_ready=self._has_card,
            on_evicted=self._evicted,
            on_stopped=reporter.recording_stopped,
            on_resumed=reporter.recording_resumed,
            log=log,
        )

    def _background(self):
        return self._plan.background(
            local_sec_of_day(self._board.unix_time(), self._utc_offset_min)
        )

    def _may_record(self, priority):
        return self._has_card() and self.retention.may_record(priority)

    def _source_changed(self, error):
        if self._sizes and error is None:
            self._sizes.restart()
        self._reporter.source_changed(error)

    def _started(self, path, trigger, priority):
        self._intake.started(path, trigger, priority)
        self._reporter.recording_started(path, trigger, priority)

    def _grown(self, size_bytes):
        self._intake.grown(size_bytes)
        self.retention.grew(size_bytes)

    def _done(self, clip):
        self._intake.clip(clip)
        self.retention.grew(clip.size_bytes)
        self._reporter.recording_completed(clip)

    def _evicted(self, evicted):
        self._reporter.recording_evicted(evicted)
        self._uploads.monitor.evicted(evicted)
        self._uploads.intake.look_again()

    def _failed(self, path, error):
        self._intake.broken()
        if error.errno in _FULL:
            self.retention.card_is_full()
        else:
            self._on_card_error(error)
        self._reporter.recording_failed(path, error)


def _ring(config):
    """The memory for the pre-roll; None for none."""
    size_kb = config["pre_roll_kb"]
    if not size_kb:
        return None
    from gop_ring import GopRing

    try:
        return GopRing(bytearray(size_kb * 1024), _UNITS_A_SEC * (config["pre_roll_sec"] + 1))
    except MemoryError:
        raise StartUpError("recorder.pre_roll_kb is %d: so much memory is not free" % size_kb)
