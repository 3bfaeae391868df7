"""Totals of all uploads ever, and the figures of one that goes on.

The totals are kept as a short list of numbers in every record of the journal, so
that they survive a reset. Rates are in kilobytes of 1,000 bytes a second and
names those of the product specification.

Pure: no IO.
"""


class UploadStatistics:
    """`failed_uploads` counts files given up; one that is queued again may count once more."""

    def __init__(self):
        self.successful_uploads = self.failed_uploads = self.retries = 0
        self.sent_bytes = self.sending_ms = 0

    def delivered(self, sent_bytes, duration_ms):
        """Count a delivery by what its last attempt sent and how long that took."""
        """What an earlier attempt stored of the file is not sent again, and not counted."""
        self.successful_uploads += 1
        self.sent_bytes += sent_bytes
        self.sending_ms += duration_ms

    def failed(self, will_retry):
        if will_retry:
            self.retries += 1
        else:
            self.failed_uploads += 1

    def to_record(self):
        """The totals as a list of whole numbers."""
        return [
            self.successful_uploads,
            self.failed_uploads,
            self.retries,
            self.sent_bytes,
            self.sending_ms,
        ]

    def from_record(self, numbers):
        """Take over the totals of a record.

        What an older firmware did not count is 0, and what is no number, too; what a
        newer one counts besides is left out.
        """
        self.successful_uploads = _total(numbers, 0)
        self.failed_uploads = _total(numbers, 1)
        self.retries = _total(numbers, 2)
        self.sent_bytes = _total(numbers, 3)
        self.sending_ms = _total(numbers, 4)

    def report(self):
        """All figures by name, as a dict."""
        return {
            "total_uploads": self.successful_uploads + self.failed_uploads,
            "successful_uploads": self.successful_uploads,
            "failed_uploads": self.failed_uploads,
            "retries": self.retries,
            "total_bytes_uploaded": self.sent_bytes,
            "total_upload_time_sec": (self.sending_ms + 500) // 1000,
            "average_speed_kbps": self.sent_bytes // max(1, self.sending_ms),
        }


def progress(sent_bytes, total_bytes, bytes_per_sec):
    """How far an upload has come, as a dict."""
    return {
        "progress_percentage": min(1000, sent_bytes * 1000 // max(1, total_bytes)) / 10,
        "bytes_uploaded": sent_bytes,
        "total_bytes": total_bytes,
        "upload_speed_kbps": bytes_per_sec // 1000,
        "estimated_time_remaining_sec": max(0, total_bytes - sent_bytes) // max(1, bytes_per_sec),
    }


def _total(numbers, place):
    number = numbers[place] if place < len(numbers) else 0
    return number if isinstance(number, int) and number >= 0 else 0
