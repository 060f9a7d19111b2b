"""What the cloud wants of a command that is under way: take it back, or ask the machine about it. In memory only.

A crash forgets it: the cloud asks again, and what is open is asked about anyway.
"""


class CommandRequests:
    """Written by the link's thread, read by the worker's."""

    def __init__(self) -> None:
        self._cancels: set[str] = set()
        self._questions: set[str] = set()

    def ask_cancel(self, command_id: str) -> None:
        """The conversation that drives this command finds it here."""
        self._cancels.add(command_id)

    def is_cancel_asked(self, command_id: str) -> bool:
        return command_id in self._cancels

    def drop_cancel(self, command_id: str) -> None:
        """The wish was passed on, or came too late."""
        self._cancels.discard(command_id)

    def ask_about(self, command_id: str) -> None:
        """Somebody wants to know what became of it: the machine is to be asked, and not only this journal."""
        self._questions.add(command_id)

    def is_asked_about(self, command_id: str) -> bool:
        return command_id in self._questions

    def drop_question(self, command_id: str) -> None:
        """The machine is asked now."""
        self._questions.discard(command_id)

    def asked_about(self) -> list[str]:
        return sorted(self._questions)
