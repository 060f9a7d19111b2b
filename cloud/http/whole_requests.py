"""A gunicorn worker whose threads never wait for a client: a request gets a thread when all of it has come.

Its loop reads, within a deadline, and closes, without waiting. There are so many places for connections that wait;
when they are full, the longest-waiting one of the address that has most gives way to the newest.
"""

import selectors
import signal
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

from gunicorn.http.unreader import IterUnreader
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from cloud.http.addresses import Network, client_address, home_of
from cloud.http.request_framing import Incoming, TooLarge

READ_S = 10
"""For the whole of a request, from its first byte, or from the connection's beginning."""
TAKE_S = 10
"""For a client to take what is sent at once: it holds a thread meanwhile."""
LEAVE_S = 2
"""For the other side to take our last words."""
AT_ONCE = 64 * 1024
LARGE_ONES = 8
"""Requests longer than most may be, from their heads to their answers. One more takes the place of an unfinished one;
where all are being answered, its sender comes again.
"""
_SAYS = {
    100: b"HTTP/1.1 100 Continue\r\n\r\n",
    408: b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    413: b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    431: b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    503: b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
}


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """One client's connection: what it sent of a request, and the home its address belongs to."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.incoming = Incoming()
        self.request = b""
        self.data_ready = True
        self.home = home_of(self.client[0]) if isinstance(self.client, tuple) else ""

    def init(self) -> None:
        """Called in the thread that serves the request: it reads what has come, and never from the socket."""
        is_new = self.parser is None
        super().init()
        if is_new:
            self.parser.unreader = IterUnreader(())
        self.parser.unreader.unread(self.request)
        self.request = b""
        self.sock.settimeout(TAKE_S)

    def say(self, status: int) -> None:
        """As far as it can be said at once."""
        with suppress(OSError):
            self.sock.send(_SAYS[status])


class WholeRequests(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Use a subclass that `with_limits` makes."""

    places = 0
    proxies: tuple[Network, ...] = ()
    ends: tuple[Callable[[], None], ...] = ()

    @classmethod
    def with_limits(cls, places: int, proxies: tuple[Network, ...], end: Callable[[], None]) -> type:
        """With so many places for connections without a thread, and these proxies' word about senders.

        `end` is called when the process is asked to end, while it still answers what has come.
        """
        return type(cls.__name__, (cls,), {"places": places, "proxies": proxies, "ends": (end,)})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._leaving: deque[Connection] = deque()
        self._large: set[Connection] = set()

    # What gunicorn calls

    def init_signals(self) -> None:
        """Ctrl-C reaches every process of a terminal; what it means for this one is said by the one that started it."""
        super().init_signals()
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Called by SIGTERM: the loop goes on with what it has, and takes nothing new."""
        if self.alive:
            self.method_queue.defer(self._begin_to_end)
        super().handle_exit(sig, frame)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """What one event lets go of, has no later one: its socket is closed, and its number may be another's by now."""
        for key, _ in self.poller.select(timeout):
            if self.poller.get_map().get(key.fd) is key:
                key.data(key.fileobj)

    def accept(self, listener: Any) -> None:
        """A new connection waits for its first request."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        self._begin(Connection(self.cfg, client, address, listener.getsockname()))
        while len(self.pending_conns) + len(self.keepalived_conns) + len(self._leaving) > self.places:
            self._let_one_go()

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """A resting connection begins another request."""
        self._take_out(conn, self.keepalived_conns)
        self._begin(conn)

    def on_pending_socket_readable(self, conn: Any, client: Any) -> None:
        """More of a request."""
        go_on = self._read(conn)
        if go_on is not None:
            self._take_out(conn, self.pending_conns)
            go_on(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """After an answer: rest, go on with what came meanwhile, or leave."""
        self._large.discard(conn)
        if fs.cancelled() or fs.exception() is not None or not fs.result():
            self._leave(conn)
            return
        super().finish_request(conn, fs)
        if conn.incoming.is_begun and conn in self.keepalived_conns:
            self.on_client_socket_readable(conn, conn.sock)

    def murder_pending(self) -> None:
        """Close those whose time is over."""
        now = time.monotonic()
        while self.pending_conns and self.pending_conns[0].timeout <= now:
            self._end(self.pending_conns[0], self.pending_conns)
        while self._leaving and self._leaving[0].timeout <= now:
            self._end(self._leaving[0], self._leaving)

    # Ours

    def _begin_to_end(self) -> None:
        """Refuse new connections; their clients come again.

        A client in mid-request gets as long as one about to send its next.
        """
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()
        for end in self.ends:
            end()
        until = time.monotonic() + STOP_KEEPALIVE_LINGER
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, until)

    def _begin(self, conn: Connection) -> None:
        go_on = self._read(conn)
        if go_on is not None:
            go_on(conn)
        else:
            self._wait(conn, READ_S, self.pending_conns, self.on_pending_socket_readable)

    def _read(self, conn: Connection) -> Callable[[Connection], None] | None:
        """Take in what has come. What to do with the connection now; None: wait for more."""
        try:
            data = conn.sock.recv(AT_ONCE)
        except BlockingIOError:
            data = b""
        except OSError:
            return self._close
        else:
            if not data:
                return self._close
        try:
            whole = conn.incoming.feed(data)
        except TooLarge as error:
            conn.say(error.status)
            return self._leave
        if whole is not None:
            conn.request = whole
            return self._serve
        if conn.incoming.forwarded_for is not None:
            sender = client_address(conn.client[0], conn.incoming.forwarded_for, self.proxies)
            conn.home = home_of(str(sender)) if sender is not None else conn.home
        if conn.incoming.is_large and conn not in self._large:
            if not self._has_room_for(conn):
                conn.say(503)
                return self._leave
            self._large.add(conn)
        if conn.incoming.expects:
            conn.incoming.expects = False
            conn.say(100)
        return None

    def _has_room_for(self, large: Connection) -> bool:
        """Of the large ones too, the sender with most loses the oldest: a head is free, and one could take all."""
        unfinished = [conn for conn in self.pending_conns if conn in self._large]
        if len(self._large) >= LARGE_ONES and unfinished:
            busiest = _busiest([*unfinished, large])
            self._end(next(conn for conn in unfinished if conn.home == busiest), self.pending_conns)
        return len(self._large) < LARGE_ONES

    def _serve(self, conn: Connection) -> None:
        self.enqueue_req(conn)

    def _leave(self, conn: Connection) -> None:
        """Say that no more comes, and close when the other side has: closing at once could take our answer with it."""
        self._large.discard(conn)
        conn.incoming = Incoming()  # what came of it is nobody's any more
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
        else:
            self._wait(conn, LEAVE_S, self._leaving, self._on_leaving_readable)

    def _on_leaving_readable(self, conn: Connection, _client: Any) -> None:
        try:
            is_over = not conn.sock.recv(AT_ONCE)
        except BlockingIOError:
            is_over = False
        except OSError:
            is_over = True
        if is_over:
            self._end(conn, self._leaving)

    def _wait(self, conn: Connection, seconds: float, where: deque[Any], readable: Callable[..., None]) -> None:
        conn.timeout = time.monotonic() + seconds
        where.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(readable, conn))

    def _take_out(self, conn: Connection, where: deque[Any]) -> None:
        self.poller.unregister(conn.sock)
        where.remove(conn)

    def _let_one_go(self) -> None:
        """Close one connection of the sender with most: first what is unfinished, the oldest first."""
        kinds = (self.pending_conns, self.keepalived_conns, self._leaving)
        busiest = _busiest(chain(*kinds))
        for where in kinds:
            for conn in where:
                if conn.home == busiest:
                    self._end(conn, where)
                    return

    def _end(self, conn: Connection, where: deque[Any]) -> None:
        self._take_out(conn, where)
        if where is self.pending_conns and conn.incoming.is_begun:
            conn.say(408)
        self._close(conn)

    def _close(self, conn: Connection) -> None:
        self.nr_conns -= 1
        self._large.discard(conn)
        conn.close()


def _busiest(connections: Iterable[Connection]) -> str:
    """Return the home with most of them; of several with as many, the first."""
    [(home, _)] = Counter(conn.home for conn in connections).most_common(1)
    return home
