"""The house's rules on its own Russian: one word a concept in all the catalogues."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import cloud

CLOUD = Path(cloud.__file__).parent
WORD_FOR = {
    r"\bпровайдер": "платёжная система",
    r"\bплат[её]жн\w+ сервис": "платёжная система",
    r"\bконсол[ьи]": "пульт",
    r"\b(неполадк|оповещени)": "тревога",
    r"\bв работу\b": "принять (тревогу)",
    r"\bхолд": "удержание",
}
"""What is not said, and what is said instead."""
TO_BUYERS = {r"\bплат[её]жн\w+ сервис"}
"""The page for buyers may say it: a system means nothing to them."""


def sentences(source: str) -> Iterator[str]:
    """Each as it is read, however many lines it is written in."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=str() as text):
                yield text


def other_words(text: str, *, to_buyers: bool = False) -> list[str]:
    """The words of it that have another name here."""
    unsaid = WORD_FOR.keys() - (TO_BUYERS if to_buyers else set())
    return [word for word in unsaid if re.search(word, text, re.IGNORECASE)]


def test_another_word_for_the_same_is_noticed() -> None:
    said = (
        "Провайдер не ответил", "кабинет платёжного сервиса", "откройте консоль", "Неполадка взята в работу",
        "Оповещения", "Кнопками берут тревоги в работу", "Холд не закрыт",
    )  # fmt: skip
    assert [text for text in said if not other_words(text)] == []
    assert not other_words("Платёжный сервис не отвечает.", to_buyers=True)
    assert not other_words("Напиток холодный, а автомат выведен из работы")


def test_each_thing_has_one_name() -> None:
    catalogues = sorted(CLOUD.rglob("*_ru.py"))
    assert len(catalogues) >= 15
    found = [
        (path.relative_to(CLOUD).as_posix(), text, WORD_FOR[word])
        for path in catalogues
        for text in sentences(path.read_text())
        for word in other_words(text, to_buyers=CLOUD / "buyer" in path.parents)
    ]
    assert not found
