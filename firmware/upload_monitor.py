"""What the camera's owner can ask about uploads and be told of them, on the camera itself.

    monitor.get_upload_statistics()["successful_uploads"]
    monitor.get_current_upload_progress()["progress_percentage"]
    monitor.set_progress_callback(lambda progress: print(progress["upload_speed_kbps"]))
    monitor.set_completion_callback(lambda file_path, success, cloud_url: print(file_path))

The names are the product specification's. The owner's callbacks are called from
the upload's own task: they must not take long. One that raises is logged with its
traceback, and neither it nor the upload ends with that.
"""

from firmware.upload_statistics import progress


class UploadMonitor:
    """Fed with what becomes of uploads; `log(text, error)`."""

    def __init__(self, statistics, log):
        self._statistics = statistics
        self._log = log
        self._uploads = []  # that go on, oldest first
        self._on_progress = None
        self._on_completion = None

    def get_upload_statistics(self):
        """All uploads so far, those before the last reset included, as a dict."""
        report = self._statistics.report()
        report["active_uploads"] = len(self._uploads)
        return report

    def get_current_upload_progress(self):
        """All uploads that go on, together, as a dict; each by itself under "uploads"."""
        sent = total = rate = 0
        for one in self._uploads:
            sent += one.sent_bytes
            total += one.total_bytes
            rate += one.bytes_per_sec
        fields = progress(sent, total, rate)
        fields["uploads"] = [one.progress() for one in self._uploads]
        return fields

    def set_progress_callback(self, callback):
        """`callback(progress)`, a dict as each of "uploads", at most once a second and upload."""
        self._on_progress = callback

    def set_completion_callback(self, callback):
        """`callback(file_path, success, cloud_url)`, once for each file that is delivered or given up."""
        self._on_completion = callback

    def started(self, job, grant):
        self._forget(job)
        self._uploads.append(_Upload(job))

    def progress(self, job, sent_bytes, total_bytes, bytes_per_sec):
        one = self._find(job)
        if one is None:
            return
        one.sent_bytes, one.total_bytes = sent_bytes, total_bytes
        one.bytes_per_sec = bytes_per_sec
        if self._on_progress:
            self._call(self._on_progress, one.progress())

    def completed(self, job, outcome):
        self._forget(job)
        if self._on_completion:
            self._call(self._on_completion, job.path, True, outcome.cloud_url)

    def failed(self, job, error, will_retry):
        self._forget(job)
        if self._on_completion and not will_retry:
            self._call(self._on_completion, job.path, False, "")

    def evicted(self, evicted):
        """Its file had to make room; one that was delivered is told of already."""
        if self._on_completion and not evicted.is_uploaded:
            self._call(self._on_completion, evicted.path, False, "")

    def suspended(self, job):
        """Its slot was wanted for another; it goes on later."""
        self._forget(job)

    def _find(self, job):
        for one in self._uploads:
            if one.path == job.path:
                return one
        return None

    def _forget(self, job):
        one = self._find(job)
        if one:
            self._uploads.remove(one)

    def _call(self, callback, *arguments):
        try:
            callback(*arguments)
        except Exception as error:
            self._log("callback of the camera's owner failed", error)


class _Upload:
    """One upload that goes on; the parts that an earlier attempt stored are sent already."""

    def __init__(self, job):
        self.path = job.path
        self.total_bytes = job.size_bytes
        self.sent_bytes = min(job.parts_done * job.part_size, job.size_bytes)
        self.bytes_per_sec = 0

    def progress(self):
        fields = progress(self.sent_bytes, self.total_bytes, self.bytes_per_sec)
        fields["file_path"] = self.path
        return fields
