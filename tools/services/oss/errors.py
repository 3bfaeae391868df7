"""OSS's refusals: status, code, message, EC number, and the XML document that carries them.

Codes and messages are those of OSS's public documentation; where it names an EC number for a
case, that number is given, else none. Pure: no IO.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import datetime, timedelta

_ILLEGAL_IN_XML = {number: "?" for number in range(32) if number not in (9, 10, 13)}


class OssError(Exception):
    """One refusal; `details` become elements of the document, `headers` headers of the answer."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        ec: str = "",
        details: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.ec = ec
        self.details = details or {}
        self.headers = headers or {}

    def document(self, request_id: str, host: str) -> bytes:
        """The answer's body."""
        root = ET.Element("Error")
        fields = {
            "Code": self.code,
            "Message": self.message,
            "RequestId": request_id,
            "HostId": host,
            **self.details,
        }
        if self.ec:
            fields["EC"] = self.ec
            fields["RecommendDoc"] = f"https://api.aliyun.com/troubleshoot?q={self.ec}"
        for name, text in fields.items():
            ET.SubElement(root, name).text = text.translate(_ILLEGAL_IN_XML)
        ET.indent(root)
        return ET.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"


def access_denied(message: str, ec: str = "", **details: str) -> OssError:
    return OssError(403, "AccessDenied", message, ec, details)


def invalid_argument(message: str, ec: str = "", **details: str) -> OssError:
    return OssError(400, "InvalidArgument", message, ec, details)


def invalid_access_key(access_key: str) -> OssError:
    return OssError(
        403,
        "InvalidAccessKeyId",
        "The OSS Access Key Id you provided does not exist in our records.",
        "0002-00000902",
        {"OSSAccessKeyId": access_key},
    )


def request_has_expired(expires: datetime, now: datetime) -> OssError:
    return access_denied(
        "Request has expired.",
        "0002-00000069",
        Expires=timestamp(expires),
        ServerTime=timestamp(now),
    )


def request_time_too_skewed(signed_at: datetime, now: datetime, allowed: timedelta) -> OssError:
    return OssError(
        403,
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        "0002-00000504",
        {
            "MaxAllowedSkewMilliseconds": str(int(allowed.total_seconds() * 1000)),
            "RequestTime": timestamp(signed_at),
            "ServerTime": timestamp(now),
        },
    )


def timestamp(moment: datetime) -> str:
    """A time as OSS's documents write it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def signature_mismatch(access_key: str, provided: str, text: bytes, ec: str) -> OssError:
    """What OSS says to a wrong signature: the string that it would have signed."""
    return OssError(
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided."
        " Check your key and signing method.",
        ec,
        {
            "OSSAccessKeyId": access_key,
            "SignatureProvided": provided,
            "StringToSign": text.decode(errors="replace"),
            "StringToSignBytes": text.hex(" ").upper(),
        },
    )


def not_implemented(what: str) -> OssError:
    """OSS can do more than the stand-in; nothing is quietly left undone."""
    return OssError(
        400,
        "NotImplemented",
        f"A header you provided implies functionality that is not implemented: {what}.",
    )


def no_such_bucket(name: str) -> OssError:
    return OssError(
        404,
        "NoSuchBucket",
        "The specified bucket does not exist.",
        "0015-00000101",
        {"BucketName": name},
    )


def no_such_key(key: str) -> OssError:
    return OssError(
        404, "NoSuchKey", "The specified key does not exist.", "0026-00000001", {"Key": key}
    )


def file_already_exists(ec: str) -> OssError:
    return OssError(
        409,
        "FileAlreadyExists",
        "The object you specified already exists and can not be overwritten.",
        ec,
    )


def no_such_upload(upload_id: str, ec: str) -> OssError:
    return OssError(
        404,
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid,"
        " or the upload may have been aborted or completed.",
        ec,
        {"UploadId": upload_id},
    )


def invalid_digest(ec: str, **details: str) -> OssError:
    return OssError(400, "InvalidDigest", "The Content-MD5 you specified was invalid.", ec, details)
