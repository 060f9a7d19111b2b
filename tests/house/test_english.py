"""The house's rules on its own English: plain sentences that need no second reading."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.house.test_modules import PACKAGES, modules_of

WHO = re.compile(r"\b(of|by|to|for|as|from|with|than) who\b", re.IGNORECASE)
"""Say "of the caller that", "by the person who", "for a worker that"."""
PERHAPS = re.compile(WHO.pattern.replace(" ", r"[\s#]+"), re.IGNORECASE)
"""In raw source, where a line may end between the two: seldom, and reading a module costs much."""


def docstrings(source: str) -> Iterator[str]:
    """Those of modules, classes and functions, and those that stand below a name."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str() as text)):
                yield " ".join(text.split())


def comments(source: str) -> Iterator[str]:
    """Each with the lines it goes on in: a sentence may be broken anywhere."""
    last, said = 0, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1:
                yield said
                said = ""
            last, said = token.start[0], f"{said} {token.string.lstrip('# ')}"
    yield said


def sentences_about_who(source: str) -> list[str]:
    if not PERHAPS.search(source):
        return []
    return [text for text in (*docstrings(source), *comments(source)) if WHO.search(text)]


@pytest.mark.parametrize(
    "source",
    [
        '"""The rows of who waits."""',
        'def give():\n    """Give it, also to\n    who asks."""',
        'LIMIT = 5\n"""By who asks."""',
        "# it is held as\n# who takes it holds it\n",
        "give()  # more than who asked",
    ],
)
def test_who_after_a_preposition_is_noticed(source: str) -> None:
    assert sentences_about_who(source)


def test_a_person_who_is_named_may_do_things() -> None:
    assert not sentences_about_who('"""By the person who asked."""\n# who asks?\nwho = "of who"\n')


def test_nobody_is_called_who_after_a_preposition() -> None:
    found = {path: sentences_about_who(path.read_text()) for path in modules_of(*PACKAGES)}
    assert not {path: texts for path, texts in found.items() if texts}
