"""Lines of tables and keys in TOML texts of every spelling."""

import tomllib

import pytest

from cloud.fleet.file_lines import FileLines, Place

TEXT = '''\
title = "a = b" # [not.a.table]

[[shop]]
  name = "first"
[shop.owner]
"e mail" = 1
'nick' = 2
[[shop.item]]
id = 1
[[shop.item]]
id = 2 # id = 3
note = """
[[shop]]
name = "not a key"
  """
prices.small = 1
[[ shop . item ]]
sizes = [
  [1, 2],
  { a = "]" },
]
id = 3
[[shop]]
name = "second"
text = \'\'\'
[[shop]]'\'\'
menu = { small = 1, large = 2 }
last = "\\"#" # done
'''


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("title",), 1),
        (("shop", 0), 3),
        (("shop", 0, "name"), 4),
        (("shop", 0, "owner"), 5),
        (("shop", 0, "owner", "e mail"), 6),
        (("shop", 0, "owner", "nick"), 7),
        (("shop", 0, "item", 0, "id"), 9),
        (("shop", 0, "item", 1, "id"), 11),
        (("shop", 0, "item", 1, "note"), 12),
        (("shop", 0, "item", 1, "prices", "small"), 16),
        (("shop", 0, "item", 1, "prices"), 16),
        (("shop", 0, "item", 2), 17),
        (("shop", 0, "item", 2, "sizes"), 18),
        (("shop", 0, "item", 2, "id"), 22),
        (("shop", 1), 23),
        (("shop", 1, "name"), 24),
        (("shop", 1, "text"), 25),
        (("shop", 1, "menu"), 27),
        (("shop", 1, "last"), 28),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_key_is_found_on_its_line(place: Place, line: int, newline: str) -> None:
    text = TEXT.replace("\n", newline)
    tomllib.loads(text)
    assert FileLines(text).of(place) == line


def test_what_has_no_line_of_its_own_is_found_where_it_belongs() -> None:
    lines = FileLines(TEXT)
    assert lines.of(("shop", 1, "menu", "large")) == 27
    assert lines.of(("shop", 1, "missing")) == 23
    assert lines.of(("nowhere",)) == 1
