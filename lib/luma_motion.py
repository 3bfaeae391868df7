"""Motion from the brightness of a small grey picture: cells that are not as usual.

    frame  --mean of 16 samples-->  32 x 18 cells  --against what is usual-->  changed cells

What is usual follows every picture: slowly where it is right, quickly where it is
not, so that what came to stay is usual after a few pictures. Before the comparison
it is made as bright as the picture by the median of all ratios: light that changes
everywhere changes no cell. When most cells are changed all the same, the light or
the camera's view is another one, and that is the usual one from then on.

Motion is when two pictures in a row have enough changed cells; it ends with two
that have not. Meant for some five pictures a second; fixed memory of 3 KB.

Pure: no IO.
"""

from array import array

from micropython import const

ROWS = const(18)
COLUMNS = const(32)
_CELLS = const(576)

_MOST = const(360)  # cells that something moving may cover
_SAME = const(128)  # a gain of one
_DARKER, _BRIGHTER = const(112), const(144)  # beyond that from one picture to the next: a switch
_WATCHED, _IGNORED = "#", "."


def _kernels():
    try:
        import luma_viper as found
    except (AttributeError, ImportError, SyntaxError, ValueError):  # no viper, or for another CPU
        import luma_plain as found  # type: ignore[no-redef]
    return found


kernels = _kernels()


class LumaMotion:
    def __init__(self, sensitivity, zones=None):
        """`zones` as parse_zones() takes them. `sensitivity`: at 1 cells must be 19 steps of grey off
        and 1.7 % of the watched ones; at 50 it is 12 and 1 %, at 100 4 and 0.2 %. ValueError."""
        if not 1 <= sensitivity <= 100:
            raise ValueError("sensitivity: allowed are 1..100")
        self._mask = parse_zones(zones)
        watched = sum(self._mask)
        self._threshold = 4 + (100 - sensitivity) * 16 // 100
        self._enough = max(1, watched * (2 + (100 - sensitivity) * 16 // 100) // 1000)
        self._cells = bytearray(_CELLS)
        self._usual = array("H", (0 for _ in range(_CELLS)))
        self._tally = array("H", (0 for _ in range(256)))
        self.restart()

    def restart(self):
        """Learn anew: the next picture is the usual one."""
        self.is_moving = False
        self._recent = 0
        self._shape = 0

    def take(self, frame, width, height, pixel_format):
        """Look at a frame: "grey", "rgb565" (lower byte first) or "yuv422" (UYVY); ValueError."""
        if pixel_format not in ("grey", "rgb565", "yuv422"):
            raise ValueError("pixel_format: allowed are grey, rgb565, yuv422")
        pixel_bytes = 1 if pixel_format == "grey" else 2
        if width <= 0 or height <= 0 or len(frame) < width * height * pixel_bytes:
            raise ValueError("the frame is shorter than %dx%d pixels" % (width, height))
        if pixel_format == "rgb565":
            kernels.shrink_rgb565(self._cells, frame, width, height)
        else:
            kernels.shrink(self._cells, frame, width, height, pixel_bytes, pixel_bytes - 1)
        self._look(width << 16 | height)

    def _look(self, shape):
        if self._shape != shape:
            self.restart()
            self._shape = shape
            kernels.adopt(self._usual, self._cells)
        changed = self._changed(self._usual, self._cells, self._tally)
        self._recent = (self._recent << 1 | (changed >= self._enough)) & 3
        if self._recent == 3:
            self.is_moving = True
        elif not self._recent:
            self.is_moving = False

    def _changed(self, usual, cells, tally):
        """How many watched cells are not as usual; none when the whole picture is not."""
        gain = kernels.gain(usual, cells, tally)
        if _DARKER <= gain <= _BRIGHTER:
            if _SAME - 1 <= gain <= _SAME + 1:  # as near as rounding, which must not add up
                gain = _SAME
            limit = self._threshold + 3 * kernels.noise(usual, cells, tally, gain)
            changed = kernels.follow(usual, cells, self._mask, gain, limit)
            if changed >> 10 <= _MOST:
                return changed & 1023
        kernels.adopt(usual, cells)
        return 0


def parse_zones(zones):
    """One byte a cell, 1 where it is watched: rows of "#" (watched) and ".", stretched over the
    picture; without zones everything is. ValueError."""
    if not zones:
        return bytearray(b"\x01" * _CELLS)
    if not _is_grid(zones):
        raise ValueError(
            'allowed are 1..%d rows of one length of 1..%d, of "#" (watched) and "." (ignored), '
            'with one "#" at least' % (ROWS, COLUMNS)
        )
    mask = bytearray(_CELLS)
    for cell in range(_CELLS):
        row = zones[cell // COLUMNS * len(zones) // ROWS]
        mask[cell] = row[cell % COLUMNS * len(row) // COLUMNS] == _WATCHED
    return mask


def _is_grid(zones):
    if not isinstance(zones, (list, tuple)) or len(zones) > ROWS:
        return False
    has_watched = False
    for row in zones:
        if not isinstance(row, str) or not 1 <= len(row) <= COLUMNS or len(row) != len(zones[0]):
            return False
        watched = row.count(_WATCHED)
        if watched + row.count(_IGNORED) != len(row):
            return False
        has_watched = has_watched or watched > 0
    return has_watched
