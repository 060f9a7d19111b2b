"""The reasons that the cloud gives orders, read from its own code: every catalogue must have words for them."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import cloud

CLOUD = Path(cloud.__file__).parent
KINDS = ("rejected:", "failed:", "refused:", "wrong_")
"""What a reason that is put together may begin with; the rest is a code, or has one sentence for all."""


def said_in_the_code() -> Iterator[tuple[str, str]]:
    """Every reason and code that the cloud itself writes down somewhere: where, and what."""
    for path in sorted(CLOUD.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            found: list[ast.expr] = []
            if isinstance(node, ast.Call):
                is_move = isinstance(node.func, ast.Name) and node.func.id == "apply_event"
                found = [k.value for k in node.keywords if k.arg == "reason"] if is_move else []
                found += node.args[4:5] if is_move else []
                is_outcome = isinstance(node.func, ast.Name) and node.func.id == "Outcome"
                found += [k.value for k in node.keywords if k.arg == "code"] if is_outcome else []
            elif isinstance(node, ast.FunctionDef) and node.name in {"_meaning", "_meaning_to"}:
                answers = [n.value for n in ast.walk(node) if isinstance(n, ast.Return)]
                found = [answer.elts[1] for answer in answers if isinstance(answer, ast.Tuple)]
            named = vars(import_module(_module_of(path))) if found else {}
            for value in found:
                yield from ((path.name, said) for said in _texts_of(value, named))


def _module_of(path: Path) -> str:
    return ".".join(path.relative_to(CLOUD.parent).with_suffix("").parts)


def _texts_of(value: ast.expr, named: dict[str, Any]) -> Iterator[str]:
    if isinstance(value, ast.Constant) and value.value:
        yield str(value.value)
    elif isinstance(value, ast.Name) and value.id.isupper():
        yield named[value.id]
    elif isinstance(value, ast.Attribute) and value.attr.isupper() and isinstance(value.value, ast.Name):
        yield str(getattr(named[value.value.id], value.attr))
    elif isinstance(value, ast.JoinedStr) and isinstance(value.values[0], ast.Constant):
        yield str(value.values[0].value)
    elif isinstance(value, ast.Subscript):  # a text cut to what the table holds
        yield from _texts_of(value.value, named)
