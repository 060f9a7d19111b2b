"""What an agent says, in the reader's words: its own are English, and name commands for its own shell.

A sentence or code that is not known here, such as a newer agent's, is shown as it came.
"""

import re
from collections.abc import Mapping

from cloud.console.shell.texts import ConsoleTexts

SENTENCES: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "in_a_row": r"(?P<n>\d+) drinks in a row ended unknown",
        "in_a_day": r"(?P<n>\d+) drinks ended unknown within a day",
        "counter": r"the counter moved by (?P<counted>\d+) and (?P<ordered>\d+) drinks were ordered",
        "failed": r"the agent failed at it \d+ times: (?P<error>\w+), order (?P<order>[^;]+)",
        "journal_lost": r"the journal was damaged and put aside",
        "room": r"only (?P<kib>\d+) KiB free at ",
        "cannot": r"the machine cannot (?P<missing>.+), which profile (?P<profile>\S+) needs",
        "two_agents": r"(?P<rival>.+) is the session of another agent with this device's name",
        "trouble": r"the agent's \w+ fails: (?P<error>.+)",
    }.items()
}
"""Of the agent, by the name of ours in their place (`machines.stop.*`)."""


def in_our_words(texts: ConsoleTexts, words: str) -> str:
    """What the agent says, in the language of the page."""
    for name, sentence in SENTENCES.items():
        if found := sentence.search(words):
            return texts(f"machines.stop.{name}", **found.groupdict())
    return words


def code_in_our_words(texts: ConsoleTexts, code: str) -> str:
    """What a code of the agent or its machine means: of a boot or a job, to a buyer, or of an update."""
    if texts.has(key := f"machines.code.{code}"):
        return texts(key)
    if why := texts.why(code):
        return why
    return texts(key) if texts.has(key := f"releases.why.{code}") else code
