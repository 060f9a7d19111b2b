"""How long the agent waits for what, and within which bounds: no value may keep the next job of an operator waiting.

Values come from a profile or from afar (`overrides`). While the machine is asked something nothing else is begun.
"""

from typing import Annotated

from msgspec import Meta, Struct

CLOUD_MAKE_TIMEOUT_S = 300.0
"""The cloud's default patience with an accepted command; we must have spoken before."""
LAST_WORD_S = CLOUD_MAKE_TIMEOUT_S - 5.0
"""From a make: a slow drink is waited for no longer, so that the word is with the cloud in time."""
LONGEST_QUESTION_S = 10.0
"""One question with all its tries."""


class Timers(Struct, frozen=True, forbid_unknown_fields=True):
    """docs/machine-protocol.md 3.3 and 5; seconds."""

    inter_byte_gap: Annotated[float, Meta(gt=0, le=5)] = 0.1
    whole_frame: Annotated[float, Meta(gt=0, le=10)] = 0.3
    """Beyond three times what its bytes take at this speed."""
    query_reply: Annotated[float, Meta(gt=0, le=5)] = 1.0
    query_tries: Annotated[int, Meta(ge=1, le=10)] = 3
    make_verdict: Annotated[float, Meta(gt=0, le=30)] = 3.0
    accepted_to_brewing: Annotated[float, Meta(gt=0, le=120)] = 15.0
    max_brew: Annotated[float, Meta(gt=0, lt=CLOUD_MAKE_TIMEOUT_S)] = 180.0
    quiet: Annotated[float, Meta(gt=0, le=120)] = 15.0
    down: Annotated[float, Meta(gt=0, le=300)] = 30.0
    status_poll: Annotated[float, Meta(gt=0, le=300)] = 10.0
    counter_watch: Annotated[float, Meta(gt=0, le=3600)] = 60.0
    make_freshness: Annotated[float, Meta(gt=0, le=600)] = 120.0
    gate_patience: Annotated[float, Meta(gt=0, le=30)] = 5.0
    unknown_deadline: Annotated[float, Meta(gt=0, lt=CLOUD_MAKE_TIMEOUT_S)] = 240.0
    recheck: Annotated[float, Meta(gt=0, le=3600)] = 300.0

    def problems(self) -> list[tuple[str, str]]:
        """Keys that make no sense together, and why."""
        found: list[tuple[str, str]] = []
        if self.quiet > self.down:
            found.append(("quiet", "must not be longer than timers.down"))
        if self.query_reply * self.query_tries > LONGEST_QUESTION_S:
            words = f"times timers.query_tries must not be longer than {LONGEST_QUESTION_S:.0f} s"
            found.append(("query_reply", f"{words}: nothing else is done meanwhile"))
        return found
