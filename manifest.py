"""Freeze the camera into the board's firmware, so that an empty flash file system starts it:

make -C ports/esp32 BOARD=ESP32_GENERIC_P4 FROZEN_MANIFEST=<this file>
"""

import os

include("$(PORT_DIR)/boards/manifest.py")  # what the stock firmware has frozen, umqtt among it

module("boot.py")
module("main.py")
package("firmware")
for name in sorted(os.listdir("lib")):
    if name.endswith(".py"):
        module(name, base_path="lib")
