"""What LumaMotion does with every pixel and cell, for interpreters without viper.

The same to the byte as luma_viper.py, which is some fifty times as fast. Buffers:
`cells`, one byte a cell, grey, row by row; `usual`, 16 bits a cell, grey times
256; `mask`, 1 for a watched cell, else 0; `tally`, 256 counters of 16 bits.

Pure: no IO.
"""


def shrink(cells, frame, width, height, pixel_bytes, luma):
    """Every cell is the mean of four times four samples; `luma` is where a pixel has its grey."""
    for row in range(18):
        for column in range(32):
            total = 8
            for at in _samples(row, column, width, height):
                total += frame[at * pixel_bytes + luma]
            cells[row * 32 + column] = total >> 4


def shrink_rgb565(cells, frame, width, height):
    """The same from two bytes a pixel, the lower one first."""
    for row in range(18):
        for column in range(32):
            total = 2048
            for at in _samples(row, column, width, height):
                pixel = frame[2 * at] | frame[2 * at + 1] << 8
                total += (pixel >> 11) * 616 + (pixel >> 5 & 63) * 600 + (pixel & 31) * 232
            cells[row * 32 + column] = total >> 12


def _samples(row, column, width, height):
    for line in range(row * 4, row * 4 + 4):
        for x in range(column * 8 + 1, column * 8 + 9, 2):
            yield (2 * line + 1) * height // 144 * width + (x * width >> 8)


def adopt(usual, cells):
    """What is, is usual."""
    for cell in range(576):
        usual[cell] = cells[cell] << 8


def gain(usual, cells, tally):
    """How much brighter than usual the picture is: the median of all cells, in 128ths."""
    _clear(tally)
    for cell in range(576):
        was = (usual[cell] >> 8) + 8
        tally[min(((cells[cell] + 8) * 128 + (was >> 1)) // was, 255)] += 1
    return _median(tally)


def noise(usual, cells, tally, gain):
    """How far cells are from what is usual in this light: the median."""
    _clear(tally)
    for cell in range(576):
        tally[abs(cells[cell] - min(usual[cell] * gain >> 15, 255))] += 1
    return _median(tally)


def follow(usual, cells, mask, gain, limit):
    """Let `usual` follow; 1024 for each cell that is off by more than the limit, and 1 more if watched."""
    changed = 0
    for cell in range(576):
        expected = min(usual[cell] * gain >> 7, 65280)
        off = (cells[cell] << 8) - expected
        if abs(off) > limit << 8:
            changed += 1024 + mask[cell]
            usual[cell] = expected + (off >> 1)
        else:
            usual[cell] = expected + (off >> 3)
    return changed


def _clear(tally):
    for i in range(256):
        tally[i] = 0


def _median(tally):
    left = 288
    found = 0
    while left >= tally[found]:
        left -= tally[found]
        found += 1
    return found
