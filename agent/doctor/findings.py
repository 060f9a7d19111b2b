"""One line of the doctor's examination: what was looked at, how it is, and in plain words what to do about it."""

from dataclasses import dataclass

GOOD, WARN, BAD, WRONG = "good", "warn", "bad", "wrong"
"""`wrong`: the settings themselves; nothing that needs them was looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` is one word or two; `words` end with the advice where there is any."""

    mark: str
    subject: str
    words: str

    @property
    def is_bad(self) -> bool:
        return self.mark in (BAD, WRONG)

    def __str__(self) -> str:
        return f"{self.mark:<5} {self.subject}: {self.words}"
