"""`python -m tests.agent.update.unit MODULE [ARGUMENT...]`: starts it again whenever it ends, as systemd does."""

import signal
import subprocess
import sys
import threading

PAUSE_S = 0.1


def main(command: list[str]) -> int:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.is_set():
        with subprocess.Popen([sys.executable, "-m", *command]) as running:
            while running.poll() is None:
                if stop.wait(0.02):
                    running.terminate()
                    return running.wait(20)
        print(f"unit: ended with {running.returncode}", flush=True)
        stop.wait(PAUSE_S)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
