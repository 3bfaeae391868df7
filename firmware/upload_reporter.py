"""Tells the world, over MQTT, what becomes of recordings and uploads."""

from firmware import status_messages as messages


class UploadReporter:
    def __init__(self, publish, topics, *, unix_time, log):
        """`publish(topic, payload, qos) -> bool`; a False for QoS 1 is logged."""
        self._publish = publish
        self._topics = topics
        self._unix_time = unix_time
        self._log = log

    def upload_started(self, job, grant):
        self._log("upload started: " + job.path)
        self._tell(messages.upload_started(job, grant.cloud_file_path, self._unix_time()))

    def upload_progress(self, job, sent_bytes, total_bytes, bytes_per_sec):
        payload = messages.upload_progress(
            job, sent_bytes, total_bytes, bytes_per_sec, self._unix_time()
        )
        self._publish(self._topics.upload_status, payload, 0)

    def upload_completed(self, job, outcome):
        self._log("upload completed: %s -> %s" % (job.path, outcome.cloud_url))
        self._tell(messages.upload_completed(job, outcome, self._unix_time()))

    def upload_failed(self, job, error, will_retry):
        after = "" if will_retry else " (given up)"
        self._log("upload failed: %s: %s%s" % (job.path, error, after))
        self._tell(messages.upload_failed(job, error, will_retry, self._unix_time()))

    def recording_started(self, path, trigger, priority):
        self._log("recording started: %s (%s)" % (path, trigger))
        payload = messages.recording_started(path, trigger, priority, self._unix_time())
        self._tell(payload, self._topics.recording_status)

    def recording_completed(self, clip):
        self._log("recording completed: %s, %d bytes" % (clip.path, clip.size_bytes))
        payload = messages.recording_completed(clip, self._unix_time())
        self._tell(payload, self._topics.recording_status)

    def recording_failed(self, path, error):
        self._log("recording failed: %s: %r" % (path, error))
        payload = messages.recording_failed(path, str(error), self._unix_time())
        self._tell(payload, self._topics.recording_status)

    def recording_evicted(self, evicted):
        kind = "uploaded" if evicted.is_uploaded else "not uploaded"
        self._log("recording deleted: %s (%s, %s)" % (evicted.path, evicted.reason, kind))
        payload = messages.recording_evicted(evicted, self._unix_time())
        self._tell(payload, self._topics.recording_status)

    def recording_stopped(self, priority, reason):
        self._log("no more recordings up to priority %d: %s" % (priority, reason))
        payload = messages.recording_stopped(priority, reason, self._unix_time())
        self._tell(payload, self._topics.recording_status)

    def recording_resumed(self):
        self._log("recordings are made again")
        payload = messages.recording_resumed(self._unix_time())
        self._tell(payload, self._topics.recording_status)

    def source_changed(self, error):
        self._log("source: " + ("frames come again" if error is None else repr(error)))
        payload = messages.source_changed(error, self._unix_time())
        self._tell(payload, self._topics.recording_status)

    def card_changed(self, event, text):
        self._log("%s: %s" % (event, text))
        self._tell(messages.card_changed(event, text, self._unix_time()), self._topics.card_status)

    def _tell(self, payload, topic=None):
        if not self._publish(topic or self._topics.upload_status, payload, 1):
            self._log("no room to report: " + payload)
