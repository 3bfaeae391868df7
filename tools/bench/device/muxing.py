"""What is done with access units: `muxing.py WORK FILE UNITS TARGET`. Prints their bytes.

cut: nothing more than cutting them out of the file, which the other kinds of work do too.
copy: into memory. mux: into transport stream packets, written to TARGET in whole blocks, as the
recorder does. hash: the same, with the MD5 that the recorder takes of it.
"""

import hashlib
import json
import sys

from annexb import AccessUnits
from block_writer import BlockWriter
from mpegts import BUFFER_BYTES, TsMuxer

LARGEST_UNIT_BYTES = 256 * 1024
FRAME_90K = 3000  # 30 fps


def units(path, count):
    """`(unit, is_key)` of the first `count` access units."""
    cutter = AccessUnits(bytearray(LARGEST_UNIT_BYTES))
    with open(path, "rb") as file:
        while count:
            unit = cutter.next_unit()
            if unit is None:
                cutter.fed(file.readinto(cutter.free()))
            else:
                count -= 1
                yield unit


def cut(source, target):
    total = 0
    for unit, _ in source:
        total += len(unit)
    return total


def copy(source, target):
    total = 0
    memory = memoryview(bytearray(LARGEST_UNIT_BYTES))
    for unit, _ in source:
        n = len(unit)
        memory[:n] = unit
        total += n
    return total


def mux(source, target, new_digest=None):
    muxer = TsMuxer(bytearray(BUFFER_BYTES))
    writer = BlockWriter(muxer.block, new_digest=new_digest)
    writer.open(target)
    total = pts_90k = 0
    for unit, is_key in source:
        n = len(unit)
        muxer.feed(unit, 0, n, pts_90k, is_key)
        while muxer.fill():
            writer.write_block()
        pts_90k += FRAME_90K
        total += n
    writer.close(muxer.tail_bytes)
    return total


def hash(source, target):
    return mux(source, target, hashlib.md5)


WORK = {"cut": cut, "copy": copy, "mux": mux, "hash": hash}
work, path, count, target = sys.argv[1:]
print(json.dumps({"bytes": WORK[work](units(path, int(count)), target)}))
