"""One fact, one line: whatever is quoted in it."""

import logging

from cloud.log import TextLines


def test_nothing_quoted_looks_like_a_line_of_its_own_or_steers_a_terminal() -> None:
    record = logging.makeLogRecord(
        {"name": "cloud.processes.app", "levelname": "ERROR", "msg": "кофе\n%s", "args": ("\x1b[2J",)}
    )
    record.path = "/v1/\r\n12:00:00.000 INFO cloud.orders: order paid"
    assert (
        TextLines()
        .format(record)
        .endswith(
            r" ERROR cloud.processes.app: кофе\n\x1b[2J path=/v1/\x0d\n12:00:00.000 INFO cloud.orders: order paid"
        )
    )
