"""A real journal on files of its own, for the tests of what stands on it."""

from time import ticks_add, ticks_diff

from firmware.upload_journal import UploadJournal
from firmware.upload_queue import UploadQueue
from slot_journal import SlotJournal

SLOTS = 32


class Totals:
    def __init__(self):
        self.numbers = [0]

    def to_record(self):
        return self.numbers

    def from_record(self, numbers):
        self.numbers = numbers


def journal(folder, log=print, slots=SLOTS, totals=None, root=""):
    """The journal in that folder, not opened yet."""
    records = SlotJournal(
        [folder + "/queue_a", folder + "/queue_b"], slots=slots, buffer=bytearray(8192), log=log
    )
    queue = UploadQueue(most=slots, ticks_add=ticks_add, ticks_diff=ticks_diff)
    return UploadJournal(records, queue, root=root, totals=totals or Totals(), log=log)


def jobs(opened):
    """All jobs of an opened journal, oldest first."""
    found = [opened.load(row) for row in opened.queue.rows_in(range(1, 7))]
    return sorted(found, key=lambda job: job.order)
