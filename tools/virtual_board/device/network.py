"""Stand-in for `network` on an ESP32-P4: the host's loopback is the network.

Both interfaces share the one link, which the host takes up and down. It is the state of the link
that goes down, as the interfaces report it: sockets are the host's and go on working.
Source: ports/esp32/network_lan.c, network_wlan.c, network_common.c.
"""

import _wires

STA_IF = 0
AP_IF = 1

STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_BEACON_TIMEOUT = 200
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_ASSOC_FAIL = 203
STAT_CONNECT_FAIL = 203
STAT_HANDSHAKE_TIMEOUT = 204

ETH_INITIALIZED = 0
ETH_STARTED = 1
ETH_STOPPED = 2
ETH_CONNECTED = 3
ETH_DISCONNECTED = 4
ETH_GOT_IP = 5

PHY_LAN8710 = 0
PHY_LAN8720 = 1
PHY_IP101 = 2
PHY_RTL8201 = 3
PHY_DP83848 = 4
PHY_KSZ8041 = 5
PHY_KSZ8081 = 6
PHY_GENERIC = 7

_LOOPBACK = "127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1"
_NO_ADDRESS = ("0.0.0.0",) * 4
_RSSI_DBM = -40

_dns_server = _LOOPBACK[3]
_hostname = "mpy-esp32p4"
_country = "XX"


def hostname(*name):
    global _hostname
    if not name:
        return _hostname
    _hostname = _wires.only(name)


def country(*code):
    global _country
    if not code:
        return _country
    wanted = _wires.only(code)
    if len(wanted) != 2:
        raise ValueError
    _country = wanted


def ipconfig(*key, **settings):
    global _dns_server
    if bool(key) == bool(settings):
        raise TypeError("must query one param")
    if key not in ((), ("dns",)) or list(settings) not in ([], ["dns"]):
        raise ValueError("unexpected key")
    _dns_server = settings.get("dns", _dns_server)
    return _dns_server if key else None


class _Interface:
    """What a wired and a wireless interface share."""

    def __init__(self, mac_offset):
        self._active = False
        self._static = None
        self._mac_offset = mac_offset

    def _mac(self):
        mac = bytearray(_wires.read_bytes(_wires.MAC, 6))
        mac[5] = (mac[5] + self._mac_offset) & 0xFF
        return bytes(mac)

    def ifconfig(self, *settings):
        if settings:
            address = _wires.only(settings)
            if address != "dhcp" and len(address) != 4:
                raise ValueError("invalid arguments")
            self._static = None if address == "dhcp" else tuple(address)
            return None
        return self._static or (_LOOPBACK if self.isconnected() else _NO_ADDRESS)

    def ipconfig(self, *key, **settings):
        if bool(key) == bool(settings):
            raise TypeError("must query one param")
        if settings:
            return self._set_address(**settings)
        key = _wires.only(key)
        address, mask, gateway, _ = self.ifconfig()
        if key == "addr4":
            return address, mask
        if key == "gw4":
            return gateway
        if key == "dhcp4":
            return self._static is None
        raise ValueError("unexpected key")

    def _set_address(self, dhcp4=None, addr4=None, gw4=None):
        if dhcp4:
            self._static = None
        if addr4 is not None or gw4 is not None:
            address, mask, gateway, dns = self.ifconfig()
            if addr4 is not None:
                address, mask = addr4
            self._static = address, mask, gw4 or gateway, dns


class _Lan(_Interface):
    def __init__(self):
        super().__init__(3)
        self._status = ETH_INITIALIZED

    def active(self, *state):
        if state:
            self._active = bool(_wires.only(state))
            self._status = ETH_STARTED if self._active else ETH_STOPPED
        return self._active

    def isconnected(self):
        return self.status() == ETH_GOT_IP

    def status(self):
        if self._active and _wires.read(_wires.LINK):
            self._status = ETH_GOT_IP
        elif self._active and self._status == ETH_GOT_IP:
            self._status = ETH_DISCONNECTED
        return self._status

    def config(self, *key):
        if _wires.only(key) != "mac":
            raise ValueError("unknown config param")
        return self._mac()


_lan = None


def LAN(
    id=None,
    *,
    phy_addr,
    phy_type,
    mdc=None,
    mdio=None,
    reset=None,
    power=None,
    spi=None,
    cs=None,
    int=None,
    ref_clk_mode=-1,
    ref_clk=None,
    crs_dv=None,
    rxd0=None,
    rxd1=None,
    tx_en=None,
    txd0=None,
    txd1=None,
    clk_in=None,
    clk_out=None,
):
    """The Ethernet interface; arguments count at the first call only, as on the board."""
    global _lan
    if _lan is None:
        if id not in (None, 0):
            raise ValueError("invalid LAN interface identifier")
        if not 0 <= phy_addr <= 31:
            raise ValueError("invalid phy address")
        if not PHY_LAN8710 <= phy_type <= PHY_GENERIC:
            raise ValueError("invalid phy type")
        if mdc is None or mdio is None:
            raise ValueError("mdc and mdio must be specified")
        if clk_out is not None and clk_in is None:
            raise ValueError("clk_in must be specified if clk_out is specified")
        _lan = _Lan()
    return _lan


class WLAN(_Interface):
    """The station interface. There is one object for it, however often it is asked for."""

    IF_STA = STA_IF
    IF_AP = AP_IF
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2
    _station = None

    def __new__(cls, interface_id=STA_IF):
        if interface_id != STA_IF:
            raise ValueError("the virtual board has no access point interface")
        if WLAN._station is None:
            WLAN._station = super().__new__(cls)
            WLAN._station._set_up()
        return WLAN._station

    def __init__(self, interface_id=STA_IF):
        """Made once, in __new__."""

    def _set_up(self):
        _Interface.__init__(self, 0)
        self._wanted = False
        self._settings = {"ssid": "", "pm": self.PM_PERFORMANCE, "reconnects": -1, "txpower": 20}

    def active(self, *state):
        if state:
            self._active = bool(_wires.only(state))
            self._wanted = self._wanted and self._active
        return self._active

    def connect(self, *ssid_key, bssid=None):
        if len(ssid_key) > 2:
            raise TypeError("extra positional arguments given")
        if bssid is not None and len(bssid) != 6:
            raise ValueError
        if not self._active:
            raise OSError("Wifi Not Started")
        if ssid_key and ssid_key[0] is not None:
            self._settings["ssid"] = ssid_key[0]
        self._wanted = True

    def disconnect(self):
        if not self._active:
            raise OSError("Wifi Not Started")
        self._wanted = False

    def isconnected(self):
        return self._wanted and _wires.read(_wires.LINK) == 1

    def status(self, *key):
        if not key:
            if self.isconnected():
                return STAT_GOT_IP
            return STAT_NO_AP_FOUND if self._wanted else STAT_IDLE
        if _wires.only(key) != "rssi":
            raise ValueError("unknown status param")
        if not self.isconnected():
            raise OSError("Wifi Not Connected")
        return _RSSI_DBM

    def config(self, *key, **settings):
        if key and settings:
            raise TypeError("either pos or kw args are allowed")
        for name, value in settings.items():
            if name not in self._settings:
                raise ValueError("unknown config param")
            self._settings[name] = value
        if settings:
            return None
        key = _wires.only(key)
        if key == "mac":
            return self._mac()
        if key == "hostname":
            return _hostname
        if key not in self._settings:
            raise ValueError("unknown config param")
        return self._settings[key]
