"""Stand-in for the `esp32` module: what the camera asks of it."""


def mcu_temperature():
    """Degrees Celsius, whole. A board on a desk; nothing warms it."""
    return 40
