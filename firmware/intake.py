"""Which recordings become uploads: new clips, what an earlier run left, what somebody asks for."""

from firmware.clip_store import file_facts
from firmware.messages import base_name
from firmware.trigger import HISTORICAL, MOTION, default_priority, parse_clip_name
from firmware.upload_queue import Job


class Intake:
    def __init__(self, add, *, directory, config, is_recording, to_unix, log):
        """`add(job, at_once=False) -> bool` queues; `config` is the section `upload`.

        `is_recording(path)`: whether that file is being written at this moment.
        """
        self._add = add
        self._directory = directory + "/"
        self._is_on = config["enable_cloud_upload"]
        self._takes_motion = config["auto_upload_motion_recordings"]
        self._takes_others = config["auto_upload_new_recordings"]
        self._deletes = config["delete_after_upload"]
        self._is_recording = is_recording
        self._to_unix = to_unix
        self._log = log

    def clip(self, clip):
        """Queue a new clip if its kind is to be uploaded."""
        if self._is_wanted(clip.trigger):
            job = Job(
                clip.path,
                clip.size_bytes,
                clip.priority,
                clip.trigger,
                md5=clip.md5,
                clip=clip,
                started_unix=clip.started_unix,
            )
            self._add(job)

    def adopt(self, clips):
        """Queue what an earlier run left on the card: `(path, trigger)` pairs. Raises OSError.

        Only where delivered clips are deleted: elsewhere what is on the card may
        be in the cloud already.
        """
        for path, trigger in clips:
            if self._deletes and self._is_wanted(trigger):
                job = self._found(path, default_priority(trigger))
                if job.size_bytes:
                    self._log("found on the card: " + path)
                    self._add(job, at_once=True)
                else:  # the power went before its first flush
                    self._log("found on the card, empty: " + path)

    def file(self, path, priority):
        """Queue a recording by hand; ValueError for a path that is none, OSError if it is gone."""
        name = base_name(path)
        if path not in (name, self._directory + name) or not name:
            raise ValueError("path: allowed are files in " + self._directory)
        if self._is_recording(self._directory + name):
            # It would be delivered in part, and then deleted under the recorder's hands.
            raise ValueError("path: is being recorded; allowed are finished files")
        if not self._add(self._found(self._directory + name, priority), at_once=True):
            raise ValueError("path: is in the queue already")

    def _found(self, path, priority):
        size_bytes, changed = file_facts(path)
        parsed = parse_clip_name(base_name(path))
        trigger = parsed[0] if parsed else HISTORICAL
        return Job(path, size_bytes, priority, trigger, started_unix=self._to_unix(changed))

    def _is_wanted(self, trigger):
        return self._is_on and (self._takes_motion if trigger == MOTION else self._takes_others)
