"""What an operator asks of an agent besides drinks, as messages."""

from typing import Annotated

from msgspec import Meta

from protocol.bundle import MOST_BYTES
from protocol.fields import Id, Label, Moment, SettingValue, Words
from protocol.message_form import Message
from protocol.reasons import RinseProgram


class Job(Message, frozen=True, kw_only=True):
    """Something an operator asks for besides a drink; answered by `Answer`s. The same `job_id` is the same job."""

    job_id: Id
    issued_at: Moment
    deadline_at: Moment
    """Not begun after this: nobody remembers having asked for it."""


class Rinse(Job, frozen=True, kw_only=True, tag="rinse"):
    """Rinse or clean the machine, if it is doing nothing else."""

    program: RinseProgram


class Restart(Job, frozen=True, kw_only=True, tag="restart"):
    """Start the agent anew, if it is doing nothing else."""


class Resume(Job, frozen=True, kw_only=True, tag="resume"):
    """Sell again what was stopped until a person has looked at the machine."""

    by: Words = ""
    """The person who has looked, or answers for not looking."""
    accept_loss: bool = False
    """Also when a damaged journal was put aside: go on without what it knew."""


class Settings(Job, frozen=True, kw_only=True, tag="settings"):
    """From now on these values stand in place of the profile's; whole: what is not named is the profile's again."""

    values: Annotated[dict[Label, SettingValue], Meta(max_length=64)]
    """By `table.key` of the profile, such as `timers.max_brew`."""


class Update(Job, frozen=True, kw_only=True, tag="update"):
    """Fetch this bundle (protocol/bundle.py), try it, and stay with it if it comes up well."""

    version: Label
    url: Words
    size: Annotated[int, Meta(ge=1, le=MOST_BYTES)]
    """Bytes of the bundle."""
    sha256: Label
    """Of the whole bundle, in hex: what was fetched is what was meant. Its signature says whether it is ours."""
    allow_older: bool = False
    """Take it also when it is older than the version that runs."""
