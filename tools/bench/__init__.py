"""`make bench`: what the camera costs, measured side by side with what it is held against.

docs/performance.md says what each row means. The programs in device/ run on MicroPython.
"""
