"""Log lines as JSON, one a line, on standard error: what journald and every collector take."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Final, TextIO

FIELDS: Final = "flopgate_fields"
"""Key of ``extra`` under which a call puts a dict of further fields."""


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time in UTC, level, logger, message, further fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = getattr(record, FIELDS, None)
        if isinstance(fields, dict):
            line |= fields
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_json(stream: TextIO | None = None) -> None:
    """Send every log record of the process, from level INFO on, to ``stream`` (standard error)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
