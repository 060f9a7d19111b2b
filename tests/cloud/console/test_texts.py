"""Both languages of every section say everything, in their own letters, under the section's own name."""

import re
from collections.abc import Iterable
from pathlib import Path
from string import Formatter

import pytest
from jinja2 import Environment, meta, nodes

from cloud.access.acts import Role
from cloud.console import sections
from cloud.console.sections import SECTIONS
from cloud.console.shell.texts import SHELL, plural
from cloud.fleet.models import SCENARIOS

DICTIONARIES = {"shell": SHELL, **{section.name: section.texts for section in SECTIONS}}
KEYS = [(name, key) for name, texts in DICTIONARIES.items() for key in texts["ru"]]
CONSOLE = Path(sections.__file__).parent


@pytest.mark.parametrize("name", DICTIONARIES)
def test_both_languages_have_the_same_sentences_under_the_sections_name(name: str) -> None:
    texts = DICTIONARIES[name]
    assert texts["ru"].keys() == texts["en"].keys()
    assert not [key for key in texts["ru"] if not key.startswith(f"{name}.")]


def test_a_sentence_and_its_translation_ask_for_the_same_values_in_their_own_letters() -> None:
    for name, key in KEYS:
        ru, en = DICTIONARIES[name]["ru"][key], DICTIONARIES[name]["en"][key]
        asked = [{field for _, field, _, _ in Formatter().parse(words) if field} for words in (ru, en)]
        assert asked[0] == asked[1], key
        assert not re.search("[а-яё]", en, re.IGNORECASE), key
        assert ru.strip(), key


def test_every_sentence_a_template_names_is_there() -> None:
    known = {key for _, key in KEYS}
    for template in CONSOLE.rglob("*.html"):
        for key in re.findall(r"""\bt\(["']([a-z_.0-9]+)["'][,)]""", template.read_text(encoding="utf-8")):
            assert key in known, f"{template.name}: {key}"


@pytest.mark.parametrize(("prefix", "codes"), [("role", Role), ("scenario", SCENARIOS)])
def test_whatever_is_stored_has_a_name(prefix: str, codes: Iterable[str]) -> None:
    assert not [code for code in codes if f"shell.{prefix}.{code}" not in SHELL["ru"]]


@pytest.mark.parametrize(
    ("n", "form"),
    [(1, "one"), (2, "few"), (5, "many"), (11, "many"), (21, "one"), (104, "few"), (112, "many"), (0, "many")],
)
def test_russian_counts(n: int, form: str) -> None:
    assert plural("ru", n) == form


def test_a_template_that_a_view_renders_brings_its_parts_along() -> None:
    """Regression: a fragment had them from the page that included it, and broke where it was fetched alone."""
    pages = CONSOLE / "templates" / "console"
    views = "".join(view.read_text(encoding="utf-8") for view in CONSOLE.rglob("*.py"))
    alone = []
    for template in pages.rglob("*.html"):
        name = template.relative_to(pages).as_posix()
        tree = Environment().parse(template.read_text(encoding="utf-8"))
        if f'"{name}"' in views and tree.find(nodes.Extends) is None:
            alone.append(name)
            assert "parts" not in meta.find_undeclared_variables(tree), name
    assert {"machines/living.html", "now/part.html", "releases/living.html"} <= set(alone)


def test_templates_keep_to_the_content_policy() -> None:
    for template in CONSOLE.rglob("*.html"):
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|<script(?![^>]*\ssrc=)|hx-on|javascript:", text), (
            template.name
        )
