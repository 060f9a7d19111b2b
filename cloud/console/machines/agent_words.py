"""Why an agent sells nothing, in the reader's words: the agent's own are English, and name commands for its own shell.

A sentence that is not known here, such as a newer agent's, is shown as it came.
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
