"""Two copies of every record: what is lost, damaged or refused in one is found in the other."""

import os

import slot_journal
from harness import eq, exists, raises, tmp_dir
from journal_codec import SLOT_BYTES
from slot_journal import SlotJournal

SLOTS = 20
EIO = 5


class Rig:
    def __init__(self):
        self.folder = tmp_dir()
        self.lines = []
        self.is_broken = False
        self.paths = [self.folder + "/%s/jobs.jnl" % name for name in ("a", "b")]
        self.journal = None

    def open(self):
        """The records `{number: payload}` of a journal opened anew."""
        if self.journal:
            self.journal.close()
        self.journal = SlotJournal(
            [self.folder + "/a", self.folder + "/b"],
            slots=SLOTS,
            buffer=bytearray(8192),
            log=lambda text: self.lines.append(text),
        )
        return {number: payload for number, _, payload in self.journal.open()}

    def damage(self, copy, number, data=b"\xa5" * SLOT_BYTES):
        with open(self.paths[copy], "r+b") as file:
            file.seek(number * SLOT_BYTES)
            file.write(data)

    def content(self, copy):
        with open(self.paths[copy], "rb") as file:
            return file.read()


class BrokenFile:
    """A file of which some writes or flushes fail; `fails(verb)` decides."""

    def __init__(self, file, fails):
        self._file, self._fails = file, fails
        self.seek, self.read, self.readinto = file.seek, file.read, file.readinto
        self.close = file.close

    def write(self, data):
        if self._fails("write"):
            raise OSError(EIO, "no")
        return self._file.write(data)

    def flush(self):
        if self._fails("flush"):
            raise OSError(EIO, "no")
        self._file.flush()


class breaking:
    """While entered, files that slot_journal opens below `folder` may fail."""

    def __init__(self, folder, fails):
        self._folder, self._fails = folder, fails

    def __enter__(self):
        def broken_open(path, mode):
            file = open(path, mode)
            return BrokenFile(file, self._fails) if path.startswith(self._folder) else file

        slot_journal.open = broken_open

    def __exit__(self, *_):
        del slot_journal.open


class unreadable(breaking):
    """While entered, files below `folder` cannot be opened while `is_broken()`."""

    def __init__(self, folder, is_broken):
        super().__init__(folder, lambda what: False)
        self._is_broken = is_broken
        self._made = []  # anew since: these can

    def __enter__(self):
        def refusing_open(path, mode):
            if path.startswith(self._folder) and self._is_broken() and path not in self._made:
                if mode == "r+b":
                    raise OSError(EIO, "no")
                self._made.append(path)
            return open(path, mode)

        slot_journal.open = refusing_open


def test_a_new_journal_is_empty_and_has_its_full_length():
    rig = Rig()
    eq(rig.open(), {})
    for path in rig.paths:
        eq(os.stat(path)[6], SLOTS * SLOT_BYTES)


def test_records_survive_in_both_copies():
    rig = Rig()
    rig.open()
    for number, payload in ((3, b"three"), (0, b"zero"), (19, b"last"), (3, b"three again")):
        rig.journal.write(number, payload)
    eq(rig.journal.read(3), b"three again")
    eq(rig.journal.read(4), None)
    eq(rig.content(0), rig.content(1))
    eq(rig.open(), {0: b"zero", 3: b"three again", 19: b"last"})


def test_sequence_numbers_go_on():
    rig = Rig()
    rig.open()
    first = rig.journal.write(1, b"x")
    rig.open()
    eq(rig.journal.write(2, b"y"), first + 1)


def test_a_damaged_record_is_mended_from_its_twin():
    for copy in (0, 1):
        rig = Rig()
        rig.open()
        rig.journal.write(5, b"five")
        rig.damage(copy, 5)
        eq(rig.journal.read(5), b"five")
        eq(rig.open(), {5: b"five"})
        eq(rig.content(0), rig.content(1))


def test_the_newer_record_counts():
    rig = Rig()
    rig.open()
    rig.journal.write(5, b"old")
    before = rig.content(1)
    rig.journal.write(5, b"new")
    rig.damage(1, 0, before)  # as if the power had gone between the two
    eq(rig.open(), {5: b"new"})
    eq(rig.content(0), rig.content(1))


def test_a_record_damaged_in_both_is_gone_and_others_stay():
    rig = Rig()
    rig.open()
    rig.journal.write(5, b"five")
    rig.journal.write(6, b"six")
    rig.damage(0, 5)
    rig.damage(1, 5)
    eq(rig.open(), {6: b"six"})
    eq(rig.journal.read(5), None)


def test_a_lost_or_short_file_is_made_anew():
    for copy in (0, 1):
        for keep in (None, 0, 700):
            rig = Rig()
            rig.open()
            rig.journal.write(5, b"five")
            rig.journal.close()
            content = rig.content(copy)
            os.remove(rig.paths[copy])
            if keep is not None:
                with open(rig.paths[copy], "wb") as file:
                    file.write(content[:keep])
            eq(rig.open(), {5: b"five"})
            eq(rig.content(0), rig.content(1))


def test_a_lost_directory_is_made_anew():
    rig = Rig()
    rig.open()
    rig.journal.write(5, b"five")
    rig.journal.close()
    os.remove(rig.paths[0])
    os.rmdir(rig.folder + "/a")
    eq(rig.open(), {5: b"five"})
    assert exists(rig.paths[0])


def one_copy_that_cannot_be_written(verb):
    rig = Rig()
    with breaking(rig.folder + "/b", lambda what: what == verb and rig.is_broken):
        rig.open()
        rig.is_broken = True
        rig.journal.write(5, b"five")
        eq(rig.journal.read(5), b"five")
    assert rig.lines and rig.paths[1] in rig.lines[0]
    eq(rig.open(), {5: b"five"})
    eq(rig.content(0), rig.content(1))


def test_one_copy_that_cannot_be_written_is_said_and_the_other_serves():
    one_copy_that_cannot_be_written("write")
    one_copy_that_cannot_be_written("flush")


def one_write_that_fails_once(verb):
    rig = Rig()
    failures = []
    with breaking(rig.folder, lambda what: what == verb and failures and failures.pop()):
        rig.open()
        failures.append(True)
        rig.journal.write(5, b"five")
        eq(failures, [])
    eq(rig.lines, [])
    eq(rig.content(0), rig.content(1))
    eq(rig.open(), {5: b"five"})


def test_a_write_that_fails_once_is_done_again_and_read_back():
    one_write_that_fails_once("write")
    one_write_that_fails_once("flush")


def test_without_any_copy_nothing_is_promised():
    rig = Rig()
    with breaking(rig.folder, lambda what: rig.is_broken):
        rig.open()
        rig.journal.write(5, b"old")
        rig.is_broken = True
        raises(OSError, rig.journal.write, 5, b"new")
    eq(rig.open(), {5: b"old"})


def test_a_copy_that_cannot_be_read_is_made_anew_beside_a_good_one():
    rig = Rig()
    rig.open()
    rig.journal.write(5, b"five")
    rig.is_broken = True
    with unreadable(rig.folder + "/b", lambda: rig.is_broken):
        eq(rig.open(), {5: b"five"})
        rig.is_broken = False
    assert rig.paths[1] in rig.lines[0]
    eq(rig.content(0), rig.content(1))


def test_two_copies_that_cannot_be_read_are_left_alone():
    rig = Rig()
    rig.open()
    rig.journal.write(5, b"five")
    with unreadable(rig.folder, lambda: True):
        raises(OSError, rig.open)
    eq(rig.open(), {5: b"five"})


def test_a_card_that_takes_no_file_is_an_error():
    rig = Rig()
    for name in ("a", "b"):
        with open(rig.folder + "/" + name, "wb") as file:
            file.write(b"a file where the directory should be")
    raises(OSError, rig.open)
