"""Commands over MQTT: checked, carried out, answered.

    {"command": "trigger", "command_id": "7", "trigger": "security_alert",
     "priority": "URGENT", "duration_sec": 10}

Every command is answered on the response topic with its `command_id`. Retained
commands are refused: they would be carried out again at every connection.
"""

from micropython import const

from firmware.messages import command_response, parse_command
from firmware.trigger import MANUAL, default_priority, parse_priority
from protocol_error import ProtocolError

_DEFAULT_SEC = const(10)
_LONGEST_SEC = const(3600)


class Control:
    def __init__(self, *, fire, upload_file, requeue_failed, respond, log):
        """`fire(trigger, priority, duration_ms)`, `upload_file(path, priority)`, `respond(payload)`."""
        self._fire = fire
        self._upload_file = upload_file
        self._requeue_failed = requeue_failed
        self._respond = respond
        self._log = log
        self._verbs = {
            "trigger": self._trigger,
            "upload_file": self._upload,
            "requeue_failed": self._requeue,
        }

    def on_command(self, topic, payload, retained):
        """Handler of the command topic."""
        if retained:
            return self._log("retained command ignored")
        try:
            command, command_id, fields = parse_command(payload)
        except ProtocolError as error:
            return self._log("command ignored: %s" % error)
        self._respond(command_response(command_id, command, self._carry_out(command, fields)))

    def _carry_out(self, command, fields):
        """None, or what is wrong."""
        verb = self._verbs.get(command)
        if verb is None:
            return "command %s: allowed are %s" % (command, ", ".join(sorted(self._verbs)))
        try:
            verb(fields)
        except (ValueError, OSError) as error:
            return str(error)
        return None

    def _trigger(self, fields):
        trigger = fields.get("trigger", MANUAL)
        priority = fields.get("priority", default_priority(trigger))
        duration_sec = fields.get("duration_sec", _DEFAULT_SEC)
        if not isinstance(duration_sec, int) or not 1 <= duration_sec <= _LONGEST_SEC:
            raise ValueError("duration_sec: allowed are 1..%d" % _LONGEST_SEC)
        self._fire(trigger, parse_priority(priority), duration_sec * 1000)

    def _upload(self, fields):
        path = fields.get("path")
        if not isinstance(path, str):
            raise ValueError("path: give the file's path on the card")
        self._upload_file(path, parse_priority(fields.get("priority", "NORMAL")))

    def _requeue(self, fields):
        self._requeue_failed()
