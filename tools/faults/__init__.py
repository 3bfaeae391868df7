"""Cuts the camera's power at every write to its card, and has the card fail, on real MicroPython."""
