"""Ends a program whose starter died first, however it died, even killed: a tiny shell beside the program.

Only the starter holds the shell's standard input open, so that its end is seen. An agent left behind would go on
opening its port: the same pts number, by then somebody else's machine.
"""

import signal
import subprocess
from pathlib import Path

PATIENCE_S = 20
_WATCH = """\
read -r _
kill -"$1" "$2"
left=$3
while [ "$left" -gt 0 ] && kill -0 "$2"; do
    sleep 1
    left=$((left - 1))
done
kill -KILL "$2"
if [ -n "$4" ]; then rm -rf -- "$4"; fi
"""


class Guard:
    """`farewell` asks the orphan to end; one that hangs is killed after `patience` seconds. Then `folder` goes."""

    def __init__(
        self,
        pid: int,
        *,
        farewell: signal.Signals = signal.SIGTERM,
        patience: int = PATIENCE_S,
        folder: Path | None = None,
    ) -> None:
        words = [farewell.name[3:], str(pid), str(patience), str(folder or "")]
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "guard", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """The program has ended: its number may soon be another's."""
        if self._shell.poll() is None:
            self._shell.kill()
            self._shell.communicate()
