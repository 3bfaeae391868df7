"""Aborts uploads in parts that nobody goes on with, so that their parts are not paid for for ever.

Only below the folders of listed devices, and only when neither begun nor added to for
`stale_hours`: a slow upload lives. Any number of processes may do it at once, for an abort may be
repeated. A camera whose upload is gone is told NO_UPLOAD and begins again.
"""

from __future__ import annotations

import asyncio
import datetime
import random
from collections.abc import Callable, Iterable

from tools.cloud_service import log
from tools.cloud_service.store import PendingUpload, PendingUploads, StoreError, UploadGone
from tools.cloud_service.threads import Threads

_LONGEST_PAUSE_SEC = 3600.0
_SHORTEST_PAUSE_SEC = 0.2


class CleanUp:
    """Looks through the store now and then, until it is cancelled."""

    def __init__(
        self,
        store: PendingUploads,
        threads: Threads,
        devices: Iterable[str],
        stale_hours: float,
        on_abort: Callable[[], None],
    ) -> None:
        self._store = store
        self._threads = threads
        self._devices = frozenset(devices)
        self._stale = datetime.timedelta(hours=stale_hours)
        self._on_abort = on_abort

    async def run(self) -> None:
        pause_sec = self._stale.total_seconds() / 4
        pause_sec = min(_LONGEST_PAUSE_SEC, max(_SHORTEST_PAUSE_SEC, pause_sec))
        while True:
            # processes that were started together do not stay together
            await asyncio.sleep(random.uniform(0.5, 1.0) * pause_sec)
            try:
                await self.once(datetime.datetime.now(datetime.timezone.utc))
            except StoreError as error:
                log.warning("clean_up_failed", error=str(error)[:500])

    async def once(self, now: datetime.datetime) -> int:
        """Abort what is stale; how many that were. StoreError."""
        before = now - self._stale
        pending = await self._threads.call("list_uploads", self._store.pending_uploads)
        aborted = 0
        for upload in pending:
            if upload.key.partition("/")[0] in self._devices and upload.initiated < before:
                aborted += await self._abort_if_idle(upload, before)
        return aborted

    async def _abort_if_idle(self, upload: PendingUpload, before: datetime.datetime) -> bool:
        try:
            changed = await self._threads.call("list_parts", self._store.last_change, upload)
        except UploadGone:
            return False
        if changed >= before:
            return False
        abort = self._store.abort_upload
        await self._threads.call("abort_upload", abort, upload.key, upload.upload_id)
        log.info("stale_upload_aborted", cloud_file_path=upload.key, last_change=str(changed))
        self._on_abort()
        return True
