"""Logging as one JSON object per line on stderr: `time`, `level`, `event`, and the event's fields.

Callers pass fields they have chosen; URLs with queries, payloads and secrets are never among them.
"""

from __future__ import annotations

import datetime
import logging
from typing import Any

from pydantic_core import to_json

_log = logging.getLogger("cloud_service")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        line = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return to_json(line).decode()


def setup() -> None:
    """Send everything from INFO on through the formatter; libraries only from WARNING on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _log.setLevel(logging.INFO)


def info(event: str, **fields: Any) -> None:
    _log.info(event, extra={"fields": fields})


def warning(event: str, **fields: Any) -> None:
    _log.warning(event, extra={"fields": fields})


def failure(event: str, error: BaseException, **fields: Any) -> None:
    """An unexpected exception, with its traceback."""
    _log.error(event, exc_info=error, extra={"fields": fields})


def answered(event: str, fault: Exception | None, fields: dict[str, Any]) -> None:
    """One message's outcome; with what broke its handler, if anything did."""
    if fault is not None:
        failure("handler_failed", fault, **fields)
    else:
        info(event, **fields)
