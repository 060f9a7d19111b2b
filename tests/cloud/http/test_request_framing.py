"""However requests are cut into pieces, the same whole ones come out; and no more is kept than may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.http.request_framing import MAX_BODY, MAX_FILE, Incoming, TooLarge

HEAD = b"POST /x HTTP/1.1\r\nHost: y\r\n"
PLAIN = st.binary(max_size=40).map(lambda body: HEAD + b"content-LENGTH:  %d\r\n\r\n%s" % (len(body), body))
CHUNKED = st.lists(st.binary(min_size=1, max_size=20), max_size=5).map(
    lambda parts: (
        HEAD
        + b"Transfer-Encoding: Chunked\r\n\r\n"
        + b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in parts)
        + b"0\r\nLast: field\r\n\r\n"
    )
)
REQUESTS = st.lists(PLAIN | CHUNKED | st.just(b"GET / HTTP/1.1\r\n\r\n"), min_size=1, max_size=5)


@given(REQUESTS, st.data())
def test_however_they_are_cut(requests: list[bytes], data: st.DataObject) -> None:
    stream, incoming, found = b"".join(requests), Incoming(), []
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream)))) | {len(stream)})
    for start, end in zip([0, *cuts], cuts, strict=False):
        whole = incoming.feed(stream[start:end])
        while whole is not None:
            found.append(whole)
            whole = incoming.feed(b"")
    assert found == requests
    assert not incoming.is_begun


def test_the_word_to_go_on_is_ours_to_give_so_the_parser_does_not_see_it_asked_for() -> None:
    incoming = Incoming()
    assert incoming.feed(HEAD + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\n") is None
    assert incoming.expects
    assert incoming.feed(b"x") == HEAD + b"Content-Length: 1\r\n\r\nx"


def test_who_sends_is_known_before_the_body_has_come() -> None:
    incoming = Incoming()
    incoming.feed(HEAD + b"X-Forwarded-For: 10.0.0.1\r\nX-forwarded-for: 10.0.0.2\r\nContent-Length: 1\r\n\r\n")
    assert incoming.forwarded_for == "10.0.0.1,10.0.0.2"


@pytest.mark.parametrize(
    ("sent", "again", "status"),
    [
        (b"GET /", b"x" * 1000, 431),
        (HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1), b"", 413),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 200, 413),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (2 * MAX_BODY), b"", 413),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1", b"0" * 1000, 413),
    ],
    ids=["head", "length", "chunks", "one chunk", "the size of a chunk"],
)
def test_there_is_an_end_to_what_is_taken_in(sent: bytes, again: bytes, status: int) -> None:
    incoming = Incoming()
    with pytest.raises(TooLarge) as refused:
        [incoming.feed(sent if n == 0 else again) for n in range(1000)]  # half a megabyte and more
    assert refused.value.status == status


FILE = b"POST /console/settings/north/import?merchant=north HTTP/1.1\r\nHost: y\r\nContent-Length: %d\r\n\r\n"


def test_a_merchants_file_may_be_larger_and_nothing_else_on_its_connection() -> None:
    incoming, body = Incoming(), b"x" * MAX_FILE
    assert (incoming.feed(FILE % MAX_FILE), incoming.is_large) == (None, True)
    assert (incoming.feed(body), incoming.is_large) == (FILE % MAX_FILE + body, False)
    with pytest.raises(TooLarge):
        incoming.feed(HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1))


@pytest.mark.parametrize(
    "head",
    [
        FILE % (MAX_FILE + 1),
        FILE.replace(b"POST", b"PUT") % (MAX_BODY + 1),
        FILE.replace(b"/import", b"/import/x") % (MAX_BODY + 1),
        FILE.replace(b"/console", b"/x/console") % (MAX_BODY + 1),
        FILE.replace(b"/north/", b"/north/x/") % (MAX_BODY + 1),
    ],
)
def test_there_is_an_end_to_it_and_nothing_but_its_route_takes_it(head: bytes) -> None:
    with pytest.raises(TooLarge) as refused:
        Incoming().feed(head)
    assert refused.value.status == 413


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5, 6", b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: -1",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked",
    ],
)  # fmt: skip
def test_what_is_odd_is_left_to_the_parser_with_nothing_more_to_read(fields: bytes) -> None:
    head = HEAD + fields + b"\r\n\r\n"
    assert Incoming().feed(head + b"12345") == head
