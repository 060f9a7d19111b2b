"""The journal: what is committed stays, what is damaged is kept aside, what cannot be written is not done."""

import itertools
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.journal import journal as journal_module
from agent.journal import report_queue as report_queue_module
from agent.journal.records import CommandState, Snapshot, Verdict, refused
from agent.journal.sqlite_file import FILE, JournalFailed, SqliteFile, open_read_only
from agent.making.breaker import LOOK_BACK, why_stop
from agent.show import command, commands
from protocol.machine import CountersReply
from protocol.messages import Asked, Query
from protocol.reasons import Result, Spout
from tests.agent.world import World

DONE = Verdict(Result.DONE, "", Spout.FULL)
UNKNOWN = Verdict(Result.UNKNOWN)
FAILED_DRY = Verdict(Result.FAILED, "brewer", Spout.NONE)
FAILED_WET = Verdict(Result.FAILED, "brewer", Spout.PARTIAL)
REJECTED = refused("busy", "")


def fill_up(world: World) -> Callable[[], None]:
    """No page more may be written; returns what makes room again."""
    connection = world.journal._database._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")

    def make_room() -> None:
        connection.execute("PRAGMA max_page_count = 1000000")

    return make_room


def fill_completely(world: World) -> Callable[[], None]:
    """Even the free room inside the last pages is used up."""
    make_room = fill_up(world)
    with suppress(JournalFailed):
        for number in itertools.count():
            world.journal._database.put(f"filler-{number}", "x" * 3000)
    with suppress(JournalFailed):
        for number in itertools.count():
            world.journal.insert_command(world.make(f"filler-{number}", f"filler-{number}"), CommandState.REJECTED)
    return make_room


@pytest.mark.parametrize(
    ("first", "second", "changes"),
    [
        (UNKNOWN, DONE, True),
        (UNKNOWN, FAILED_DRY, True),
        (UNKNOWN, REJECTED, True),
        (UNKNOWN, UNKNOWN, False),
        (FAILED_DRY, DONE, True),
        (FAILED_DRY, FAILED_WET, True),
        (REJECTED, DONE, True),
        (FAILED_WET, DONE, False),
        (FAILED_WET, FAILED_DRY, False),
        (DONE, FAILED_DRY, False),
        (DONE, UNKNOWN, False),
        (FAILED_DRY, UNKNOWN, False),
    ],
)
def test_late_truth_corrects_and_doubt_does_not(world: World, first: Verdict, second: Verdict, changes: bool) -> None:
    world.journal.insert_command(world.make(), CommandState.SENT)
    assert world.journal.finish("c1", first)
    assert world.journal.finish("c1", second) is changes
    (told,) = world.outcomes()
    assert (told.result, told.revision) == ((second.result, 2) if changes else (first.result, 1))


def test_what_was_corrected_before_it_was_told_is_evidence_and_no_outcome(world: World) -> None:
    """The cloud gives money back at the first of the two. That the machine has it is told as well."""
    world.journal.insert_command(world.make(), CommandState.SENT)
    world.journal.insert_command(world.make("c2", "o2"), CommandState.SENT)
    world.journal.finish("c2", UNKNOWN)
    world.journal.mark_accepted("c1")
    for verdict in (UNKNOWN, FAILED_DRY, DONE):
        assert world.journal.finish("c1", verdict)
    assert len(world.accepted()) == 1
    (told,) = world.outcomes()
    assert (told.result, told.revision) == (Result.DONE, 3)
    lines = [line.split()[0] for line in told.evidence.journal]
    assert lines == ["sent", "accepted", "unknown", "failed", "done"]
    assert world.outcomes("c2"), "of another command nothing is dropped"
    assert world.journal.report_queue.count() == 3


def test_a_correction_that_was_not_written_drops_nothing(world: World) -> None:
    """Both or neither: the last truth that is on the disk is told."""
    world.journal.insert_command(world.make(), CommandState.SENT)
    world.journal.finish("c1", UNKNOWN)
    with suppress(KeyError), world.journal.transaction():
        world.journal.finish("c1", DONE)
        raise KeyError
    assert [(one.result, one.revision) for one in world.outcomes()] == [(Result.UNKNOWN, 1)]


def test_the_receipt_of_the_cloud_and_nothing_else_empties_the_outgoing_queue(world: World) -> None:
    world.order()
    world.outcome()
    ids = [world.accepted()[0].message_id, world.outcomes()[0].message_id]
    assert len(set(ids)) == 2
    world.journal.report_queue.confirm(["somebody-else-1"])
    assert world.journal.report_queue.count() == 2
    world.journal.report_queue.confirm(ids)
    assert world.journal.report_queue.count() == 0


def test_message_ids_are_never_used_again_not_even_after_a_restart(world: World) -> None:
    world.order("c1", "o1")
    first = world.outcome("c1")
    world.confirm_all()
    world.restart()
    world.run(2)
    world.order("c2", "o2")
    second = world.outcome("c2")
    assert int(second.message_id.rpartition("-")[2]) > int(first.message_id.rpartition("-")[2])


def test_an_unfinished_command_cannot_skip_back(world: World) -> None:
    world.journal.insert_command(world.make(), CommandState.RECEIVED)
    assert world.journal.mark_intent("c1", Snapshot("b0"))
    assert not world.journal.mark_intent("c1", Snapshot("b0"))
    assert world.journal.mark_sent("c1")
    assert not world.journal.mark_sent("c1")
    assert world.journal.mark_resent("c1")
    assert not world.journal.mark_resent("c1")


def test_a_failed_transaction_leaves_nothing(world: World) -> None:
    with pytest.raises(JournalFailed), world.journal.transaction() as connection:  # noqa: PT012  (the block is the transaction)
        world.journal.insert_command(world.make(), CommandState.RECEIVED)
        connection.execute("INSERT INTO no_such_table VALUES (1)")
    assert world.journal.get("c1") is None
    assert world.journal.failure
    world.journal.sales_block.prove_writable()
    assert not world.journal.failure


def test_what_was_undone_with_its_transaction_is_not_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Regression: a make was logged as received, and the disk had not taken it."""
    caplog.set_level("INFO", "agent.cloud.command_handler")
    with pytest.raises(JournalFailed), world.journal.transaction() as connection:  # noqa: PT012  (the block is the transaction)
        world.tell(world.make())
        connection.execute("INSERT INTO no_such_table VALUES (1)")
    assert not caplog.messages
    with world.journal.transaction():
        world.tell(world.make())
        assert not caplog.messages, "nor before it is on the disk"
    assert [message.split(":")[0] for message in caplog.messages] == ["received"]


def test_with_a_full_disk_a_make_is_not_taken_and_nothing_is_poured(world: World) -> None:
    make_room = fill_completely(world)
    with pytest.raises(JournalFailed):
        world.tell(world.make("c" * 200, "o" * 200))  # more than what may be left inside the last page
    world.run(2)
    assert world.live_state.view.stopped.startswith("storage")
    assert world.line.makes() == 0
    make_room()
    world.run(10)
    assert world.live_state.view.stopped == ""
    world.order()
    assert world.outcome().result is Result.DONE


def test_with_a_disk_that_fails_after_the_receipt_nothing_is_poured(world: World) -> None:
    world.welcome()
    world.tell(world.make())
    connection = world.journal._database._connection
    connection.execute("PRAGMA query_only = ON")
    world.run(5)
    assert world.line.makes() == 0
    connection.execute("PRAGMA query_only = OFF")
    assert world.outcome().result is Result.REJECTED
    world.run(60)
    assert world.touched() == 0


def test_with_a_disk_that_fails_in_mid_pour_done_is_not_acknowledged_until_it_is_written(world: World) -> None:
    world.order()
    world.run(3)
    connection = world.journal._database._connection
    connection.execute("PRAGMA query_only = ON")
    world.run(20)
    assert world.cups() == 1
    assert world.machine.unheard_events > 0
    connection.execute("PRAGMA query_only = OFF")
    assert world.outcome().result is Result.DONE
    world.run(60)
    assert world.machine.unheard_events == 0
    assert world.line.makes() == 1


@pytest.mark.parametrize("damage", [b"", b"this is no database at all, not even nearly one" * 100])
def test_a_damaged_journal_is_kept_aside_and_nothing_is_sold_until_a_person_decides(
    world: World, damage: bytes
) -> None:
    world.order("c1", "o1")
    world.outcome("c1")
    world.journal.close()
    (world.folder / FILE).write_bytes(damage)
    world._build()
    world.line.reopen()
    world.run(5)
    assert len(list(world.folder.glob(f"{FILE}.damaged-*"))) == 1
    assert "accept-loss" in world.live_state.view.stopped
    world.order("c2", "o2")
    assert world.outcome("c2").out is Spout.NONE
    assert world.cups("o2") == 0
    (world.folder / "decisions").mkdir()
    (world.folder / "decisions" / "accept-loss").touch()
    world.run(2)
    world.order("c3", "o3")
    assert world.outcome("c3").result is Result.DONE


@pytest.mark.parametrize("by_query", [False, True])
def test_after_a_lost_journal_the_machine_is_asked_before_an_order_is_denied(world: World, by_query: bool) -> None:
    make = world.make("c1", "o1")
    world.welcome()
    world.tell(make)
    world.outcome("c1")
    world.journal.close()
    (world.folder / FILE).write_bytes(b"rubbish" * 1000)
    world._build()
    world.line.reopen()
    world.run(5)
    world.tell(Query(commands=[Asked(command_id="c1", order_id="o1")]) if by_query else make)
    outcome = world.outcome("c1")
    assert outcome.result is Result.DONE
    assert world.cups("o1") == 1


def test_a_page_damaged_in_the_middle_is_noticed_at_the_start(tmp_path: Path) -> None:
    with SqliteFile.open(tmp_path, datetime.now(UTC)) as database:
        for number in range(500):
            database.put(f"key-{number}", "x" * 100)
    path = tmp_path / FILE
    content = bytearray(path.read_bytes())
    content[8192:16384] = b"\xff" * 8192
    path.write_bytes(content)
    with SqliteFile.open(tmp_path, datetime.now(UTC)) as database:
        assert database.damaged
        assert database.get("key-1") == ""


def test_a_journal_of_a_newer_agent_is_left_alone(tmp_path: Path) -> None:
    SqliteFile.open(tmp_path, datetime.now(UTC)).close()
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalFailed, match="another version"):
        SqliteFile.open(tmp_path, datetime.now(UTC))
    assert list(tmp_path.glob("*.damaged-*")) == []


def test_a_folder_that_cannot_be_made_is_told_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalFailed, match="file"):
        SqliteFile.open(tmp_path / "file" / "state", datetime.now(UTC))


def test_every_commit_is_on_the_disk(world: World) -> None:
    connection = world.journal._database._connection
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_old_finished_commands_are_forgotten_and_nothing_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "KEEP_COMMANDS", 3)
    for number in range(6):
        world.journal.insert_command(world.make(f"c{number}", f"o{number}"), CommandState.SENT)
        if number != 0:
            world.journal.finish(f"c{number}", DONE)
    world.journal.report_queue.confirm(
        [one.message_id for number in (2, 3, 4, 5) for one in world.outcomes(f"c{number}")]
    )
    world.journal.prune()
    left = [number for number in range(6) if world.journal.get(f"c{number}")]
    assert left == [0, 1, 3, 4, 5]  # 0 is not finished, 1 is not told yet
    world.clock.skew = timedelta(days=91)
    world.journal.prune()
    assert [number for number in range(6) if world.journal.get(f"c{number}")] == [0, 1, 3, 4, 5]
    world.clock.seconds += 91 * 24 * 3600
    world.journal.prune()
    assert [number for number in range(6) if world.journal.get(f"c{number}")] == [0, 1]


def test_a_journal_that_forgot_everything_still_stops_selling_after_a_person_once_looked(world: World) -> None:
    for number in range(6):
        world.journal.insert_command(world.make(f"c{number}", f"o{number}"), CommandState.SENT)
        world.journal.finish(f"c{number}", DONE)
    world.journal.sales_block.resume_selling()
    world.confirm_all()
    world.clock.seconds += 91 * 24 * 3600
    world.journal.prune()
    assert world.journal.of_order("o5") == []
    for command_id in ("later-1", "later-2"):
        world.journal.insert_command(world.make(command_id, command_id), CommandState.SENT)
        world.journal.finish(command_id, UNKNOWN)
    assert why_stop(world.journal.recent_outcomes(LOOK_BACK))
    last = world.journal.last_sent()
    assert last is not None
    assert last.command_id == "later-2"


def test_the_outgoing_queue_is_bounded_and_the_row_still_answers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_queue_module, "CAP", 3)
    for number in range(6):
        world.journal.insert_command(world.make(f"c{number}", f"o{number}"), CommandState.SENT)
        world.journal.finish(f"c{number}", DONE)
    assert world.journal.report_queue.count() == 3
    assert world.outcomes("c0") == []
    world.tell(Query(commands=[Asked(command_id="c0", order_id="o0")]))
    assert world.outcomes("c0")[0].result is Result.DONE


def test_another_program_may_look_but_not_touch(world: World) -> None:
    world.order()
    world.outcome()
    with pytest.raises(JournalFailed), open_read_only(world.folder) as connection:
        connection.execute("DELETE FROM command")
    assert "poured" in "\n".join(command(world.folder, "o1"))
    assert "c1" in "\n".join(commands(world.folder, 10))
    assert command(world.folder, "nothing") == []


def counters(total: int, free: int = 0, test: int = 0, americano: int | None = None) -> Snapshot:
    by_drink = {} if americano is None else {"americano": americano, "other": total}
    reply = CountersReply(
        msg_id=1, boot_id="b", boots=1, total=total, paid=total, free=free, test=test, by_drink=by_drink
    )
    return Snapshot.from_reply(reply, "americano")


@pytest.mark.parametrize(
    ("before", "now", "grown"),
    [
        (counters(10), counters(11), 1),
        (counters(10), counters(11, free=1), 0),
        (counters(10), counters(12, test=1), 1),
        (counters(10), counters(0), None),
        (counters(10, americano=4), counters(11, americano=4), 0),
        (counters(10, americano=4), counters(12, americano=5), 1),
        (counters(10, americano=4), counters(11, free=1, americano=5), 0),
        (counters(10, americano=4), counters(12, free=1, americano=6), 1),
        (Snapshot("b"), counters(11), None),
        (counters(11), Snapshot("b"), None),
    ],
)
def test_growth_leaves_out_what_was_not_sold(before: Snapshot, now: Snapshot, grown: int | None) -> None:
    assert before.growth(now, is_free=False) == grown


@pytest.mark.parametrize(
    ("before", "now", "grown"),
    [
        (counters(10), counters(11, free=1), 1),
        (counters(10), counters(11), 1),
        (counters(10), counters(11, test=1), 0),
        (counters(10), counters(12, free=1, test=1), 1),
        (counters(10, americano=4), counters(11, free=1, americano=5), 1),
        (counters(10, americano=4), counters(11, free=1, americano=4), 0),
        (counters(10, americano=4), counters(12, free=1, test=1, americano=6), 1),
        (counters(10), counters(0), None),
    ],
)
def test_of_a_free_drink_the_free_ones_are_the_proof(before: Snapshot, now: Snapshot, grown: int | None) -> None:
    assert before.growth(now, is_free=True) == grown
