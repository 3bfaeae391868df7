"""When a detector sees motion: `watching.py size FILE SENSITIVITY` or
`watching.py luma FILE SENSITIVITY WIDTH HEIGHT [COUNT KERNELS]`.

size: FILE is a H.264 stream. luma: FILE holds frames of RGB565; at most COUNT of them are looked at, by
the module named KERNELS. Prints the number of the picture at which motion began or ended, in turn.
"""

import json
import sys

from annexb import AccessUnits
from luma_motion import LumaMotion
from size_motion import SizeMotion

LARGEST_UNIT_BYTES = 256 * 1024


def watch_sizes(path, sensitivity):
    watcher = SizeMotion(sensitivity)
    cutter = AccessUnits(bytearray(LARGEST_UNIT_BYTES))
    with open(path, "rb") as file:
        while True:
            unit = cutter.next_unit()
            if unit is not None:
                watcher.feed(len(unit[0]), unit[1])
                yield watcher.is_moving
            elif cutter.at_end:
                return
            else:
                cutter.fed(file.readinto(cutter.free()))


def watch_frames(path, sensitivity, width, height, count=1 << 29):
    watcher = LumaMotion(sensitivity)
    frame = bytearray(width * height * 2)
    with open(path, "rb") as file:
        while count and file.readinto(frame) == len(frame):
            watcher.take(frame, width, height, "rgb565")
            yield watcher.is_moving
            count -= 1


def changes(levels):
    """Numbers of the pictures at which the level changed, and of pictures."""
    found, was, number = [], False, 0
    for level in levels:
        if level != was:
            found.append(number)
        was = level
        number += 1
    return {"changes": found, "pictures": number}


kind, path, *numbers = sys.argv[1:]
if kind == "size":
    watched = watch_sizes(path, int(numbers[0]))
else:
    if len(numbers) > 4:
        import luma_motion

        luma_motion.kernels = __import__(numbers.pop())
    watched = watch_frames(path, *map(int, numbers))
print(json.dumps(changes(watched)))
