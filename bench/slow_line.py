"""A bad mobile line between a browser and the cloud: each answer late by the round trip, and squeezed through slowly.

Opening a connection costs what it costs on a real one: a round trip for TCP and one for TLS.
"""

import contextlib
import queue
import socket
import threading
import time

CHUNK = 1400
"""Bytes of one packet."""


class SlowLine:
    """Listens on `port` and carries to `target`. `rtt_s` and `bytes_a_second` are those of the whole line."""

    def __init__(self, target: tuple[str, int], rtt_s: float, bytes_a_second: float) -> None:
        self._target = target
        self._rtt_s = rtt_s
        self._packet_s = CHUNK / bytes_a_second
        self._free_at = 0.0
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                phone, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(phone,), daemon=True).start()

    def _carry(self, phone: socket.socket) -> None:
        """Two round trips before the first byte may leave the phone, then half of one for each direction."""
        time.sleep(2 * self._rtt_s)
        with contextlib.suppress(OSError), phone, socket.create_connection(self._target) as cloud:
            up = threading.Thread(target=self._pump, args=(phone, cloud, 0.0), daemon=True)
            up.start()
            self._pump(cloud, phone, self._packet_s)
            up.join()

    def _pump(self, source: socket.socket, sink: socket.socket, packet_s: float) -> None:
        """What comes leaves half a round trip later, in order; what is under way does not wait for what comes."""
        under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        threading.Thread(target=self._deliver, args=(under_way, sink, packet_s), daemon=True).start()
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                under_way.put((time.monotonic() + self._rtt_s / 2, data))
        under_way.put((0.0, b""))

    def _deliver(
        self, under_way: "queue.SimpleQueue[tuple[float, bytes]]", sink: socket.socket, packet_s: float
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = under_way.get()
                if not data:
                    break
                time.sleep(max(0.0, due - time.monotonic()))
                for start in range(0, len(data), CHUNK):
                    packet = data[start : start + CHUNK]
                    self._wait_turn(packet_s * len(packet) / CHUNK)
                    sink.sendall(packet)
            sink.shutdown(socket.SHUT_WR)

    def _wait_turn(self, takes: float) -> None:
        """The line carries one packet at a time, of all phones together."""
        if not takes:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + takes
            wait = self._free_at - now
        time.sleep(wait)
