"""How the cloud's log lines look: one line a fact, with the order id and whatever else the caller passed as `extra`.

`text` is for people, `json` for collectors. Neither ever gets secrets, e-mails or card data to print.
"""

import logging
import sys
import threading
from datetime import UTC, datetime

import msgspec

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {ord("\n"): "\\n"}
"""What a stranger sent and we quote must not look like a line of ours, nor steer a terminal."""
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class TextLines(logging.Formatter):
    """`12:00:01.234 INFO cloud.orders: order paid -> make_pending order_id=o-1 device=m-001`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback below it when there is one."""
        facts = " ".join(f"{name}={value}" for name, value in _extras(record).items() if value not in {"", None})
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        line = f"{moment} {record.levelname} {record.name}: {record.getMessage()} {facts}".rstrip().translate(_ESCAPED)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The same facts, as fields."""
        fields: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        } | _extras(record)
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields, enc_hook=str).decode()


def start(style: str) -> None:
    """Send every log line to standard error in the given style."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    # Not in our lines, and finding them out costs more than writing one (Python's logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    threading.excepthook = _of_thread
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for chatty in ("werkzeug", "urllib3", "alembic", "cloud.database.postgresql.Connections"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _of_thread(args: threading.ExceptHookArgs) -> None:
    """A thread ended by an error nobody caught: in our form, not on the bare standard error."""
    if args.exc_value is not None:
        name = args.thread.name if args.thread is not None else "?"
        logging.getLogger("cloud").critical("thread %s ended by an error", name, exc_info=args.exc_value)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}
