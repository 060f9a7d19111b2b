"""What code and documents cite stands in this repository: each document, each numbered section and title in it, each
link and picture. Each command in a document is shown with all that it must be told.
"""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click

from cloud.cli import main

ROOT = Path(__file__).parents[2]
CITING = ("*.py", "*.md", "*.toml", "*.html", "*.js", "*.css", "*.conf", "*.yml", "*.service", "*.example", "Makefile")
DOCUMENT = re.compile(r"(?<![\w./-])((?:[\w-]+/)*[\w-]+\.md)\b(?: (\d+(?:\.\d+)*(?:(?:, | and )\d+(?:\.\d+)*)*))?")
TITLED = re.compile(r'(?<![\w./-])((?:[\w-]+/)*[\w-]+\.md)`?,\s+"([^"]+)"')
BARE = re.compile(r"(?<=\s)\((\d+(?:\.\d+)+)(?:, \w+ \d+)?\)")
"""A section of nobody knows what: `(2.6)`, `(1.9, rule 3)`."""
NUMBERED = re.compile(r"\b(promise|mistake)s? (\d+)\b(?! broken)", re.IGNORECASE)
SHOWN = re.compile(r"(?:`| {3,}|^)coffee[-_]cloud ([^`#\n]+)", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]*)\)")


@cache
def text(path: Path) -> str:
    return path.read_text("utf-8")


def citing(*patterns: str) -> Iterator[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, check=True, capture_output=True, text=True)
    yield from (ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


def sections(document: Path) -> set[str]:
    """Numbers of the headings; in the list of promises also its numbered mistakes."""
    return set(re.findall(r"^#+ (\d+(?:\.\d+)*)\b", text(document), re.MULTILINE))


def titles(document: Path) -> set[str]:
    return set(re.findall(r"^#+ (?:\d+(?:\.\d+)*\.? )?(.+)$", text(document), re.MULTILINE))


def place_of(name: str, citing_it: Path) -> Path | None:
    return next((at for at in (ROOT / name, ROOT / "docs" / name, citing_it.parent / name) if at.is_file()), None)


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_document_and_section_that_is_cited_exists() -> None:
    missing = []
    for path in citing(*CITING):
        if path == Path(__file__):
            continue
        for name, numbers in DOCUMENT.findall(LINK.sub("", text(path))):
            place = place_of(name, path)
            cited = set(re.findall(r"\d+(?:\.\d+)*", numbers)) if path.suffix == ".py" else set()
            if place is None or not cited <= sections(place):
                missing.append(f"{path.relative_to(ROOT)}: {name} {numbers}")
    assert missing == []


def test_every_title_that_is_cited_stands_in_its_document() -> None:
    cited = [(path, *one) for path in citing(*CITING) if path != Path(__file__) for one in TITLED.findall(text(path))]
    places = [(place_of(name, path), title) for path, name, title in cited]
    assert places
    assert not [title for place, title in places if place is None or title not in titles(place)]


def test_a_section_is_cited_with_its_document_or_in_it() -> None:
    nowhere = [
        f"{path.relative_to(ROOT)}: {number}"
        for path in citing("*.py", "*.md")
        if path != Path(__file__)
        for number in BARE.findall(text(path))
        if path.suffix == ".py" or number not in sections(path)
    ]
    assert nowhere == []


def test_every_promise_and_mistake_that_is_cited_has_its_number() -> None:
    law = text(ROOT / "docs" / "promises.md")
    known = {("promise", number) for number in re.findall(r"^## Promise (\d+):", law, re.MULTILINE)}
    known |= {("mistake", number) for number in re.findall(r"^(\d+)\. ", law.partition("## Mistakes")[2], re.MULTILINE)}
    assert len(known) == 10 + 20
    cited = {
        (word.lower(), number, path.relative_to(ROOT))
        for path in citing("*.py", "docs/*.md", "README.md")
        for word, number in NUMBERED.findall(text(path))
    }
    assert not {one for one in cited if one[:2] not in known}


def test_every_link_leads_somewhere_and_every_picture_is_there() -> None:
    lost = []
    for path in citing("*.md"):
        for target in LINK.findall(text(path)):
            name, _, anchor = target.partition("#")
            place = (path.parent / name).resolve() if name else path
            if "://" in target or target.startswith("mailto:"):
                continue
            if not place.exists() or (anchor and place.suffix == ".md" and anchor not in anchors(place)):
                lost.append(f"{path.relative_to(ROOT)}: {target}")
    assert not lost


def test_every_command_that_is_shown_with_arguments_has_the_options_it_needs() -> None:
    shown = [(path, told) for path in citing("*.md") for told in SHOWN.findall(text(path))]
    assert len(shown) > 100
    assert not [(path.name, told) for path, told in shown if not is_whole(told.split())]


def is_whole(words: list[str]) -> bool:
    """Whether there is such a command, and nothing that it must be told is left out; one that is only named is."""
    command: click.Command | None = main
    while isinstance(command, click.Group) and words and words[0] != "--help":
        command, words = command.get_command(click.Context(command), words[0]), words[1:]
    if command is None:
        return False
    options = [each for each in command.params if isinstance(each, click.Option) and each.required]
    return not words or all(set(each.opts) & set(words) for each in options)
