"""Where one HTTP request ends in what a connection brings, and nothing more of HTTP. Pure.

Whatever is odd counts as whole: the server's own parser, which then gets no byte more, refuses it.
"""

import re

MAX_HEAD = 32 * 1024
MAX_LINE = 4 * 1024
MAX_BODY = 128 * 1024
"""Twice the largest notification; nothing else we accept comes near, but for a file."""
MAX_FILE = 4 * 1024 * 1024
"""A merchant's fleet file of some thousand machines, and the form around it."""
_FILE_ROUTE = re.compile(r"/console/settings/[^/]+/import")
_END = b"\r\n\r\n"
_FIELD = re.compile(rb"\r\n([!#-'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n]*)")
_EXPECT = re.compile(rb"\r\nexpect:[^\r\n]*", re.IGNORECASE)


class TooLarge(Exception):
    """The status a request gets that is longer than anything we read."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


def most_of(method: str, path: str) -> int:
    """The bytes a body may have."""
    return MAX_FILE if method == "POST" and _FILE_ROUTE.fullmatch(path) else MAX_BODY


class Incoming:
    """Requests of one connection, one after the other."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.expects = False
        """The sender waits for our word before it sends the body; whoever gives the word sets this to False."""
        self.forwarded_for: str | None = None
        """What the head of the request under way says about its sender."""
        self._forget()

    @property
    def is_begun(self) -> bool:
        """Whether there is anything of a request."""
        return bool(self._data)

    @property
    def is_large(self) -> bool:
        """Whether the request under way may be longer than most may."""
        return self._most > MAX_BODY and (self._is_chunked or self._length > MAX_BODY)

    def feed(self, data: bytes) -> bytes | None:
        """Take in what came; a whole request, when there is one. Raises `TooLarge`."""
        self._data += data
        if not self._head and not self._read_head():
            return None
        end = self._end_of_chunks() if self._is_chunked else self._head + self._length
        if end is None or end > len(self._data):
            return None
        whole = bytes(self._data[:end])
        del self._data[:end]
        self._forget()
        return whole

    def _forget(self) -> None:
        self._head = self._length = self._at = 0
        self._is_chunked = False
        self._most = MAX_BODY

    def _read_head(self) -> bool:
        end = self._data.find(_END)
        if end < 0:
            if len(self._data) > MAX_HEAD:
                raise TooLarge(431)
            return False
        head = bytes(self._data[: end + 2])
        fields: dict[bytes, list[bytes]] = {}
        for name, value in _FIELD.findall(head):
            fields.setdefault(name.lower(), []).append(value.strip())
        self.expects = b"expect" in fields
        if self.expects:  # our word is given here; the parser would give it again
            head = _EXPECT.sub(b"", head)
            self._data[: end + 2] = head
        self._head = self._at = len(head) + 2
        forwarded = fields.get(b"x-forwarded-for")
        self.forwarded_for = b",".join(forwarded).decode("latin-1") if forwarded else None
        codings, lengths = fields.get(b"transfer-encoding", []), fields.get(b"content-length", [])
        self._is_chunked = [coding.lower() for coding in codings] == [b"chunked"] and not lengths
        is_plain = len(lengths) == 1 and not codings and re.fullmatch(rb"[0-9]{1,18}", lengths[0]) is not None
        self._length = int(lengths[0]) if is_plain else 0
        method, _, target = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        self._most = most_of(method, re.split("[ ?]", target, maxsplit=1)[0])
        if self._length > self._most:
            raise TooLarge(413)
        return True

    def _end_of_chunks(self) -> int | None:
        """Each call goes on where the last one stopped."""
        while (line := self._data.find(b"\r\n", self._at)) >= 0:
            size = bytes(self._data[self._at : line]).partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size):
                return len(self._data)
            if int(size, 16) == 0:
                trailers = self._data.find(_END, line)
                if trailers >= 0:
                    return trailers + len(_END)
                break
            following = line + 2 + int(size, 16) + 2
            if following - self._head > 2 * self._most:  # sizes and ends of lines count too
                raise TooLarge(413)
            if following > len(self._data):
                break
            self._at = following
        is_endless = self._data.find(b"\r\n", self._at) < 0 and len(self._data) - self._at > MAX_LINE
        if is_endless or len(self._data) - self._head > 2 * self._most:
            raise TooLarge(413)
        return None
