"""What LumaMotion does with every pixel and cell, as machine code. See luma_plain.py.

Whoever calls has checked that the buffers are as long as they must be: a pointer
knows no end.

Pure: no IO.
"""
# ruff: noqa: F821  (ptr8 and ptr16 are words of the compiler)

import micropython


@micropython.viper
def shrink(cells: ptr8, frame: ptr8, width: int, height: int, pixel_bytes: int, luma: int):
    cell = 0
    for row in range(18):
        for column in range(32):
            total = 8
            for line in range(row * 4, row * 4 + 4):
                begin = (2 * line + 1) * height // 144 * width
                for x in range(column * 8 + 1, column * 8 + 9, 2):
                    total += frame[(begin + (x * width >> 8)) * pixel_bytes + luma]
            cells[cell] = total >> 4
            cell += 1


@micropython.viper
def shrink_rgb565(cells: ptr8, frame: ptr8, width: int, height: int):
    cell = 0
    for row in range(18):
        for column in range(32):
            total = 2048
            for line in range(row * 4, row * 4 + 4):
                begin = (2 * line + 1) * height // 144 * width
                for x in range(column * 8 + 1, column * 8 + 9, 2):
                    at = (begin + (x * width >> 8)) * 2
                    pixel = frame[at] | frame[at + 1] << 8
                    total += (pixel >> 11) * 616 + (pixel >> 5 & 63) * 600 + (pixel & 31) * 232
            cells[cell] = total >> 12
            cell += 1


@micropython.viper
def adopt(usual: ptr16, cells: ptr8):
    for cell in range(576):
        usual[cell] = cells[cell] << 8


@micropython.viper
def gain(usual: ptr16, cells: ptr8, tally: ptr16) -> int:
    for i in range(256):
        tally[i] = 0
    for cell in range(576):
        was = (usual[cell] >> 8) + 8
        ratio = ((cells[cell] + 8) * 128 + (was >> 1)) // was
        tally[ratio if ratio < 255 else 255] += 1
    left = 288
    found = 0
    while left >= int(tally[found]):
        left -= int(tally[found])
        found += 1
    return found


@micropython.viper
def noise(usual: ptr16, cells: ptr8, tally: ptr16, gain: int) -> int:
    for i in range(256):
        tally[i] = 0
    for cell in range(576):
        expected = int(usual[cell]) * gain >> 15
        off = int(cells[cell]) - (expected if expected < 255 else 255)
        tally[off if off > 0 else 0 - off] += 1
    left = 288
    found = 0
    while left >= int(tally[found]):
        left -= int(tally[found])
        found += 1
    return found


@micropython.viper
def follow(usual: ptr16, cells: ptr8, mask: ptr8, gain: int, limit: int) -> int:
    changed = 0
    for cell in range(576):
        expected = int(usual[cell]) * gain >> 7
        if expected > 65280:
            expected = 65280
        off = (int(cells[cell]) << 8) - expected
        if (off if off > 0 else 0 - off) > limit << 8:
            changed += 1024 + int(mask[cell])
            usual[cell] = expected + (off >> 1)
        else:
            usual[cell] = expected + (off >> 3)
    return changed
