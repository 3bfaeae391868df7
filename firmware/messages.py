"""Topics and names, presence and commands: what is said over MQTT beside the uploads themselves.

Topics, field names and shapes are the product specification's; unknown fields are
ignored. Uploads: upload_messages.py; what becomes of clips: status_messages.py.

Pure: no IO.
"""

import json

from firmware import message_fields as field


class Topics:
    """The topics of one camera (specification, "MQTT protocol")."""

    def __init__(self, device_id):
        base = "devices/" + device_id
        self.upload_request = base + "/upload/request"
        self.upload_response = base + "/upload/response"
        self.upload_complete = base + "/upload/complete"
        self.upload_complete_ack = base + "/upload/complete_ack"
        self.upload_status = base + "/status/upload"
        self.recording_status = base + "/status/recording"
        self.card_status = base + "/status/card"
        self.presence = base + "/status"
        self.command = base + "/command"
        self.command_response = base + "/command/response"


def cloud_name(device_id, date, file_name):
    """`{DEVICE_ID}/{YEAR}/{MONTH}/{DAY}/{HHMMSS}_{file name}`; `date` as time.gmtime gives it."""
    return "%s/%04d/%02d/%02d/%02d%02d%02d_%s" % ((device_id,) + tuple(date[:6]) + (file_name,))


def presence(status, version):
    """The retained birth message and last will."""
    return json.dumps({"status": status, "version": version})


def parse_command(payload):
    """`(command, command_id, fields)`; ProtocolError says what is wrong."""
    fields = field.object_in(payload)
    return field.text(fields, "command", 32), field.text(fields, "command_id", 64, ""), fields


def command_response(command_id, command, error=None):
    answer = {"command_id": command_id, "command": command, "success": error is None}
    if error is not None:
        answer["error_message"] = error
    return json.dumps(answer)


def base_name(path):
    return path.rsplit("/", 1)[-1]
