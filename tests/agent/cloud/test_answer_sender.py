"""What becomes of an answer whose connections go: said again, and given up only once it was said often enough."""

from agent.clock import Bell
from agent.cloud.answer_sender import MOST_TIMES, AnswerSender
from agent.cloud.wire import Speaker
from agent.live_state import LiveState
from protocol.messages import Answer, encode
from protocol.reasons import AnswerStatus
from tests.agent.cloud.test_meeting import FakeWire

ANSWER = Answer(reference="u1", asked="update", status=AnswerStatus.FAILED, code="not_fetched")


def said_on(wire: FakeWire) -> bool:
    return encode(ANSWER) in [payload for _, payload, _ in wire.said]


def test_only_connections_it_was_said_on_count() -> None:
    """Regression: five that were gone before it could be said made the agent forget the end of an update."""
    speaker, live_state = Speaker("report"), LiveState(Bell())
    sender = AnswerSender(speaker, live_state)
    live_state.add_answer(ANSWER)
    said = []
    for is_ready in [False] * (MOST_TIMES + 1) + [True] * (MOST_TIMES + 1):
        speaker.wire = wire = FakeWire(refuses=False)
        wire.is_ready = is_ready
        sender.step()
        sender.lost(wire)
        said.append(said_on(wire))
    assert said == [False] * (MOST_TIMES + 1) + [True] * MOST_TIMES + [False]
