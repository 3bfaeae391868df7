"""The upload half of the camera, put together: journal, queue, slots, uploader, intake."""

from binascii import hexlify
from errno import EIO
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

from firmware import messages, upload_messages
from firmware.clip_store import remove_delivered
from firmware.intake import Intake
from firmware.oss_uploader import OssUploader
from firmware.presign_client import PresignClient
from firmware.retry_policy import RetryPolicy
from firmware.retry_scheduler import RetryScheduler
from firmware.start_up import StartUpError
from firmware.upload_journal import UploadJournal
from firmware.upload_monitor import UploadMonitor
from firmware.upload_queue import UploadQueue
from firmware.upload_statistics import UploadStatistics
from firmware.upload_windows import UploadWindows, local_sec_of_day
from slot_journal import SlotJournal
from token_bucket import TokenBucket

_BLOCK_BYTES = const(8192)
_JOBS = const(2048)
_LIVE_FROM_BYTES = const(524288)  # about a second of footage: a shorter clip goes when it is whole
_BURST_BYTES = const(16384)  # the least that the slots may be ahead of the bandwidth limit


class Uploads:
    """`journal`, `scheduler` and `intake` of one camera, joined by callables."""

    def __init__(
        self,
        board,
        config,
        store,
        *,
        link,
        dialer,
        reporter,
        topics,
        clock_quality,
        log,
        has_card,
        may_write,
        on_card_error,
    ):
        """`config` is the whole configuration, `store` the ClipStore.

        has_card(): whether there is one whose jobs are known; may_write(): and that takes
        writes. on_card_error(OSError) is told of whatever the card refuses.
        """
        self._board, self._link, self._log = board, link, log
        self._has_card, self._may_write, self._on_card_error = has_card, may_write, on_card_error
        log = self._log_of_card  # who has nothing to do with the network
        self._id, self._utc_offset_min = config["device_id"], config["time"]["utc_offset_min"]
        upload = config["upload"]
        self._is_on = upload["enable_cloud_upload"]
        self._windows = UploadWindows(upload["low_window"], upload["normal_window"])
        buffers = [board.buffer(_BLOCK_BYTES) for _ in range(upload["max_concurrent_uploads"])]
        self._statistics = UploadStatistics()
        self._reporter, self.monitor = reporter, UploadMonitor(self._statistics, self._log)
        self.journal = UploadJournal(
            SlotJournal(
                [board.card_root + "/queue_a", board.card_root + "/queue_b"],
                slots=_JOBS,
                buffer=buffers[0],
                log=log,
            ),
            UploadQueue(most=_JOBS, ticks_add=ticks_add, ticks_diff=ticks_diff),
            root=store.directory,
            totals=self._statistics,
            log=log,
        )
        uploader = self._build_uploader(upload, buffers, dialer, topics)
        send, self._compression = uploader.upload, None
        if upload["compress"] == "gzip":
            self._compression = self._build_compression(send, buffers)
            send = self._compression.upload
        self.scheduler = self._build_scheduler(upload, send)
        live_from_bytes = None
        if upload["live_upload"]:
            live_from_bytes = min(_LIVE_FROM_BYTES, upload["multipart_threshold_kb"] * 1024)
        self.intake = Intake(
            self.scheduler,
            self.journal,
            store,
            config=upload,
            live_from_bytes=live_from_bytes,
            unix_time=board.unix_time,
            clock_quality=clock_quality,
            to_unix=board.to_unix,
            on_failed=self._failed,
            log=log,
        )

    def open(self):
        """Touch the card for the first time. Raises OSError."""
        self.intake.open()

    def begin_writing(self):
        """OSError when the card takes no record: of what else it refused FAT could not be read on."""
        self.journal.touch()
        if self._compression:
            self._compression.clear_away()

    async def take_up(self):
        """As open(), step by step, with the card that is there now. Raises OSError."""
        await self.intake.reopen()
        self.scheduler.wake()

    async def mend(self):
        """Do what the card did not let be done. OSError while it takes no record."""
        await self.intake.mend()

    def enable(self, is_on):
        """Let uploads begin, or not; those that go on are not stopped."""
        self._is_on = self.intake.is_on = bool(is_on)
        self.intake.look_again(is_on)
        self.scheduler.wake()

    def _build_compression(self, upload, buffers):
        from firmware.compression import Compression, can_compress  # memory for who wants it

        if not can_compress():
            raise StartUpError(
                'upload.compress is "gzip": this firmware cannot read deflate; allowed is "none"'
            )
        directory = self._board.card_root + "/work"
        return Compression(
            upload,
            buffers=buffers,
            directory=directory,
            may_write=self._may_write,
            log=self._log_of_card,
        )

    def _build_uploader(self, config, buffers, dialer, topics):
        board = self._board
        signer = PresignClient(
            lambda payload: self._link.publish(topics.upload_request, payload, 1),
            self._upload_request,
            new_request_id=lambda: "upload_" + hexlify(board.random_bytes(4)).decode(),
            timeout_ms=config["request_timeout_sec"] * 1000,
            log=self._log,
            publish_complete=lambda fields: self._link.publish(
                topics.upload_complete, upload_messages.upload_complete(self._id, fields), 1
            ),
            is_up=lambda: self._link.is_up,
        )
        self._link.subscribe(topics.upload_response, signer.on_response)
        self._link.subscribe(topics.upload_complete_ack, signer.on_complete_ack)
        return OssUploader(
            signer.request_url,
            dialer.open_stream,
            buffers=buffers,
            timeout_ms=config["upload_timeout_sec"] * 1000,
            idle_timeout_ms=config["idle_timeout_sec"] * 1000,
            allow_insecure=config["allow_insecure_upload"],
            on_started=self._started,
            on_progress=self._progress,
            ticks_ms=ticks_ms,
            unix_time=board.unix_time,
            complete=signer.complete,
            report=signer.report,
            on_part=self.journal.save,
            must_suspend=self._must_suspend,
            limiter=self._limiter(config),
            allowed_hosts=config["allowed_hosts"],
            multipart_bytes=config["multipart_threshold_kb"] * 1024,
        )

    def _build_scheduler(self, config, upload):
        return RetryScheduler(
            upload,
            self.journal,
            RetryPolicy(
                retry_delay_ms=config["retry_delay_sec"] * 1000,
                max_attempts=config["retry_max_attempts"],
                randbits=self._board.randbits,
            ),
            slots=config["max_concurrent_uploads"],
            is_ready=self._is_ready,
            is_open=self._is_open,
            remove_file=remove_delivered,
            ticks_ms=ticks_ms,
            upload_delay_ms=config["upload_delay_sec"] * 1000,
            delete_after_upload=config["delete_after_upload"],
            statistics=self._statistics,
            on_completed=self._completed,
            on_failed=self._failed,
            on_suspended=self.monitor.suspended,
            log=self._log_of_card,
        )

    def _started(self, job, grant):
        self._reporter.upload_started(job, grant)
        self.monitor.started(job, grant)

    def _progress(self, job, sent_bytes, total_bytes, bytes_per_sec):
        self._reporter.upload_progress(job, sent_bytes, total_bytes, bytes_per_sec)
        self.monitor.progress(job, sent_bytes, total_bytes, bytes_per_sec)

    def _completed(self, job, outcome):
        self._reporter.upload_completed(job, outcome)
        self.monitor.completed(job, outcome)
        self.intake.look_again()

    def _failed(self, job, error, will_retry):
        self._reporter.upload_failed(job, error, will_retry)
        self.monitor.failed(job, error, will_retry)
        if error.code == "CARD_ERROR":
            self._on_card_error(OSError(EIO, error.message))

    def _log_of_card(self, text, error=None):
        """An OSError that these parts have is the card's."""
        self._log(text, error)
        if isinstance(error, OSError):
            self._on_card_error(error)

    def _limiter(self, config):
        limit = config["bandwidth_limit_kbps"]
        if not limit:
            return None
        # A tenth of a second, so that a pause for garbage collection loses no bandwidth.
        return TokenBucket(limit * 1000, max(_BURST_BYTES, limit * 100), ticks_diff)

    def _is_ready(self):
        is_wanted = self._is_on and self._has_card()
        return is_wanted and self._link.is_up and self._board.unix_time() is not None

    def _must_suspend(self, job):
        return not self._has_card() or self.scheduler.must_suspend(job)

    def _is_open(self, priority):
        time_of_day = local_sec_of_day(self._board.unix_time(), self._utc_offset_min)
        return self._windows.is_open(priority, time_of_day)

    def _upload_request(self, request_id, job, more):
        now = self._board.unix_time()
        if job.started_unix is None:
            job.started_unix = now  # kept with the next record: the name does not change again
        date = self._board.date(job.started_unix + self._utc_offset_min * 60)
        name = messages.cloud_name(self._id, date, messages.base_name(job.path))
        if job.content_encoding:
            name += ".gz"
        return upload_messages.upload_request(self._id, request_id, job, name, now, more)
