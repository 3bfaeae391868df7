"""Who sent a request: OSS signature version 1 or 4, in the Authorization header or in the URL.

The bucket is private: a request without a signature is refused. Pure: no IO.
"""

from __future__ import annotations

from datetime import datetime

from tools.services.oss import sign_v1, sign_v4
from tools.services.oss.errors import (
    OssError,
    access_denied,
    invalid_access_key,
    invalid_argument,
)
from tools.services.oss.request import Account, Request


def check(request: Request, account: Account, now: datetime) -> None:
    """Return if the request is signed by the account, here and now; raises OssError."""
    authorization = request.header("authorization")
    names = {name for name, _ in request.query}
    is_v4_url = any(name in names for name in ("x-oss-signature-version", "x-oss-signature"))
    is_v1_url = not names.isdisjoint(sign_v1.URL_ARGUMENTS)
    if authorization is not None and (is_v4_url or is_v1_url):
        raise invalid_argument("Only one auth mechanism allowed.")
    if authorization is not None:
        if authorization.startswith(f"{sign_v4.ALGORITHM} "):
            sign_v4.check_header(request, account, now)
        elif authorization.startswith("OSS "):
            sign_v1.check_header(request, account, now)
        else:
            raise invalid_argument("Authorization header is invalid.")
    elif is_v4_url:
        if request.argument("x-oss-signature-version") != sign_v4.ALGORITHM:
            raise invalid_argument("x-oss-signature-version is invalid.", "0002-00000066")
        sign_v4.check_url(request, account, now)
    elif is_v1_url:
        sign_v1.check_url(request, account, now)
    else:
        raise access_denied(
            "You have no right to access this object because of bucket acl.", "0003-00000001"
        )
    _check_token(request, account)


def _check_token(request: Request, account: Account) -> None:
    """Temporary keys are nothing without their token, and permanent ones have none."""
    names = ("x-oss-security-token", "security-token")
    given = [value for name in names if (value := request.header(name) or request.argument(name))]
    if account.security_token and not given:
        raise invalid_access_key(account.access_key)
    if any(token != account.security_token for token in given):
        raise OssError(403, "InvalidSecurityToken", "The security token you provided is invalid.")
