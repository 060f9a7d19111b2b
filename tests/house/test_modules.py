"""The house's rules on its own modules: small, introduced, named after something, importing in one direction."""

import ast
import itertools
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent", "cloud", "protocol", "simulator")
LONGEST_MODULE = 400
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "common", "misc"}


def modules_of(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_no_module_is_too_long_to_read() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in modules_of(*PACKAGES, "bench", "tests")}
    assert not {path: length for path, length in lengths.items() if length > LONGEST_MODULE}


def test_every_module_says_first_what_it_owns() -> None:
    sources = {path: path.read_text() for path in modules_of(*PACKAGES)}
    silent = [path for path, source in sources.items() if source and not ast.get_docstring(ast.parse(source))]
    assert not silent


def test_every_module_is_named_after_something() -> None:
    assert not [path for path in modules_of(*PACKAGES, "bench", "tests") if path.stem in NAMES_THAT_SAY_NOTHING]


# Import directions: each contract of pyproject.toml must notice a violation of it.


def contracts() -> list[dict[str, Any]]:
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    found: list[dict[str, Any]] = settings["contracts"]
    return found


def forbidden_imports(contract: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every (importer, imported) the contract was written against."""
    match contract["type"]:
        case "forbidden":
            yield from itertools.product(contract["source_modules"], contract["forbidden_modules"])
        case "independence":
            yield from itertools.permutations(contract["modules"], 2)
        case "layers":
            layers = [layer.strip("() ") for layer in contract["layers"]]
            for container in contract.get("containers", [""]):
                for above, below in itertools.pairwise(layers):
                    prefix = f"{container}." if container else ""
                    yield prefix + first_of(below), prefix + first_of(above)
        case other:
            raise AssertionError(f"this test does not know how to break a contract of type {other}")


def first_of(layer: str) -> str:
    return layer.replace(":", "|").split("|")[0].strip()


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is said of a copy in which every contract is violated in every way it was written against."""
    copy = tmp_path_factory.mktemp("violated")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / package / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", copy)
    for contract in contracts():
        for importer, imported in forbidden_imports(contract):
            seed_an_import(copy, importer, imported)
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    lint = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    return lint.stdout + lint.stderr


def seed_an_import(copy: Path, importer: str, imported: str) -> None:
    target = copy.joinpath(*importer.split("."))
    module = target / "seeded.py" if target.is_dir() else target.with_suffix(".py")
    with module.open("a") as source:
        source.write(f"\nimport {imported}\n")


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract["name"])
def test_a_violation_of_an_import_contract_is_noticed(contract: dict[str, Any], complaints: str) -> None:
    assert f"{contract['name']} BROKEN" in complaints, complaints
    section = re.split(r"\n(.+)\n-+\n", complaints)
    about = section[section.index(contract["name"]) + 1]
    for importer, imported in forbidden_imports(contract):
        assert re.search(rf"\b{importer}\b.* -> {imported}\b", about), about


# Transactions: what is logged inside one must be true when it is undone, so it is logged after the commit.


def logs_in_transactions(source: str) -> list[str]:
    """The log calls of functions that work inside a transaction."""
    return [
        f"{function.name}: {ast.unparse(call)}"
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef) and {"tx", "locked"} & {each.arg for each in function.args.args}
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith(("log.", "logger."))
    ]


def test_nothing_inside_a_transaction_logs_before_its_commit() -> None:
    assert logs_in_transactions("def pay(tx): log.info('paid')")
    assert not {path: found for path in modules_of("cloud") if (found := logs_in_transactions(path.read_text()))}


def test_no_state_travels_unseen_with_a_session() -> None:
    keeping = re.compile(r"\bsession\.info\b")
    assert not [path for path in modules_of("cloud") if keeping.search(path.read_text())]
