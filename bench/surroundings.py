"""Where it was measured, and with what: needed to believe a figure, or to repeat it."""

import os
import platform
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

from bench import interpreter, postgres


def commit() -> str:
    """What is measured."""
    return _said("git", "rev-parse", "--short", "HEAD") or "unknown"


def load() -> float | None:
    """The load average over 15 minutes."""
    return round(os.getloadavg()[2], 1) if hasattr(os, "getloadavg") else None


def machine() -> str:
    """Its processors."""
    return f"{os.cpu_count()} processors, {_processor()}"


def software() -> str:
    """What is measured through."""
    found = postgres.find()
    parts = [interpreter.told(), interpreter.disk(), f"SQLite {sqlite3.sqlite_version}"]
    if found is not None:
        parts.append(_said(str(found), "--version").split("(")[0].strip())
    broker = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    parts.append(_said(broker, "-h").partition("\n")[0].capitalize())
    return ", ".join(part for part in parts if part)


def _processor() -> str:
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    model = re.search(r"model name\s*:\s*(.+)", told)
    return model[1] if model else platform.machine()


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
