"""The ESP32-P4 board: the only module that touches hardware.

Pins are those of the common ESP32-P4 boards with an SD slot on SDMMC 0 and an
IP101 Ethernet PHY; Wi-Fi is the companion chip's.
"""

import os
import random
import time
from errno import ENODEV

import machine
import network
import uctypes
import vfs
from micropython import const

from firmware.start_up import StartUpError
from removable_card import RemovableCard

CARD_ROOT = "/sdcard"

_LDO_CHANNEL = const(4)  # powers the SD slot; without it the card does not answer (errno 16)
_PHY_ADDRESS = const(1)
_PHY_MDC_GPIO = const(31)
_PHY_MDIO_GPIO = const(52)
_PHY_RESET_GPIO = const(51)
_DNS_PORT = const(53)
_DMA_ALIGNMENT_BYTES = const(128)
_FIRST_KNOWN_YEAR = const(2025)
# A running watchdog cannot be stopped, but it can be given a day.
_CONSOLE_WATCHDOG_MS = const(24 * 3600 * 1000)

# Seconds between 1970 and this port's epoch: 2000 on the ESP32.
_EPOCH_UNIX = const(946684800) if time.gmtime(0)[0] == 2000 else const(0)


def _no_camera(source_type, error):
    return StartUpError(
        'source.type is "%s": this firmware has %s; allowed here are "replay" and "rtsp"'
        % (source_type, error)
    )


def _sd_card():
    try:
        # The stubs do not know `ldo` yet.
        return machine.SDCard(slot=0, width=4, ldo=_LDO_CHANNEL)  # type: ignore[call-arg]
    except TypeError:  # nor does MicroPython up to 1.28, on which ESP-VISION is built
        return machine.SDCard(slot=0, width=4)


class Board:
    card_root = CARD_ROOT
    reset = staticmethod(machine.reset)
    randbits = staticmethod(random.getrandbits)

    def __init__(self):
        self._interface = None
        self._watchdog = None
        self._card = None
        self._mounted = None

    def mount_card(self):
        """Mount the FAT of the card that is in the slot now; OSError if there is none.

        The slot is begun anew, its power included, so a card that hangs starts afresh, too. Nobody
        may have a file open. Not to be called while `remounts_card` is False.
        """
        self._leave_card()
        try:
            self._card = _sd_card()
            device = RemovableCard(self._card)
            vfs.mount(device, CARD_ROOT)
            self._mounted = device
        finally:
            if self._mounted is None:
                self._leave_card()

    def _leave_card(self):
        """Let go of the card. A driver that was let go must not be used: it would crash the chip."""
        if self._mounted:
            vfs.umount(CARD_ROOT)
            self._mounted.cut()
            self._mounted = None
        if self._card:
            card, self._card = self._card, None
            card.deinit()

    def probe_card(self):
        """OSError unless the card answers; whether it failed anybody since this was asked last."""
        if self._mounted is None:
            raise OSError(ENODEV, "no card is mounted")
        return self._mounted.probe()

    @property
    def remounts_card(self):
        """Whether a card may be initialised now.

        The Wi-Fi chip hangs on the same SDMMC controller, and initialising a card while Wi-Fi is
        up takes it down and the chip with it (esp-idf 18447). Reading is safe.
        """
        return not isinstance(self._interface, network.WLAN)

    def start_network(self, *, interface, ssid, password):
        """Bring the interface up; the link follows in its own time."""
        if interface == "wlan":
            self._interface = network.WLAN(network.WLAN.IF_STA)
            self._interface.active(True)
            self._interface.connect(ssid, password)
            return
        self._interface = network.LAN(  # type: ignore[call-arg]  # nor these keywords
            mdc=machine.Pin(_PHY_MDC_GPIO),
            mdio=machine.Pin(_PHY_MDIO_GPIO),
            reset=machine.Pin(_PHY_RESET_GPIO),
            phy_addr=_PHY_ADDRESS,
            phy_type=network.PHY_IP101,
        )
        self._interface.active(True)

    def is_network_up(self):
        return self._interface is not None and self._interface.isconnected()

    def dns_servers(self):
        return ((self._interface.ifconfig()[3], _DNS_PORT),)

    # The camera modules come with the firmware, of which stock MicroPython has none and the stubs
    # know none.
    @staticmethod
    def esp_vision_modules():
        """(sensor, h264) of the ESP-VISION firmware; StartUpError in any other."""
        try:
            import h264  # type: ignore[import-not-found]
            import sensor  # type: ignore[import-not-found]
        except ImportError as error:
            raise _no_camera("esp_vision", error)
        return sensor, h264

    @staticmethod
    def pydevices_modules():
        """(cameraif, h264enc) of a firmware with the PyDevices modules; StartUpError in any other."""
        try:
            import cameraif  # type: ignore[import-not-found]
            import h264enc  # type: ignore[import-not-found]
        except ImportError as error:
            raise _no_camera("pydevices", error)
        return cameraif, h264enc

    def motion_sensor(self, gpio, active_level):
        """A function that is true while the PIR at this pin sees motion."""
        if gpio < 0:
            return lambda: False
        pin = machine.Pin(gpio, machine.Pin.IN)
        return lambda: pin.value() == active_level

    def unix_time(self):
        """Unix seconds, None while the clock was never set."""
        if time.gmtime()[0] < _FIRST_KNOWN_YEAR:
            return None
        return time.time() + _EPOCH_UNIX

    def set_unix_time(self, unix_sec):
        date = time.gmtime(unix_sec - _EPOCH_UNIX)
        machine.RTC().datetime(date[:3] + (date[6],) + date[3:6] + (0,))

    def to_unix(self, file_time):
        """A file's time in Unix seconds, None for one written before the clock was set."""
        if time.gmtime(file_time)[0] < _FIRST_KNOWN_YEAR:
            return None
        return file_time + _EPOCH_UNIX

    @staticmethod
    def date(unix_sec):
        """(year, month, day, hour, minute, second, ...) in UTC."""
        return time.gmtime(unix_sec - _EPOCH_UNIX)

    @staticmethod
    def buffer(size_bytes):
        """A buffer that the SD host can fill by DMA: aligned, or it works sector by sector."""
        spare = bytearray(size_bytes + _DMA_ALIGNMENT_BYTES - 1)
        start = -uctypes.addressof(spare) % _DMA_ALIGNMENT_BYTES
        return memoryview(spare)[start : start + size_bytes]

    def random_bytes(self, n):
        return os.urandom(n)

    def feed_watchdog(self, timeout_ms):
        """Start the watchdog with the first call, keep it quiet with the others."""
        if self._watchdog is None:
            self._watchdog = machine.WDT(timeout=timeout_ms)
        self._watchdog.feed()

    def release_watchdog(self):
        """Leave the console in peace once the camera has stopped."""
        if self._watchdog is not None:
            self._watchdog = machine.WDT(timeout=_CONSOLE_WATCHDOG_MS)
