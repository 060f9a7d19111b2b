"""The file of a backup, and what a restore refuses: nothing is lost by a wrong or a damaged one."""

from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from cloud.backup import archive, programs
from cloud.backup.archive import BackupError
from cloud.database.database import Database
from cloud.migrations import migrate
from cloud.orders.models import Order
from cloud.orders.restores import Restore
from tests.agent.small_disk import a_small_disk
from tests.cloud.backup.restoring import Restorable
from tests.cloud.tills import Till, a_till
from tests.cloud.worlds import START, a_world


@pytest.fixture
def there(till: Till, tmp_path: Path) -> Restorable:
    return Restorable(till, tmp_path)


def test_what_is_in_it_comes_back_and_what_came_after_is_gone(there: Restorable) -> None:
    world = there.world
    kept = world.scan()
    manifest = there.back_up()
    assert (manifest.as_of, manifest.revision) == (START, migrate.head())
    assert there.file.stat().st_mode & 0o077 == 0
    later = world.scan()
    there.restore()
    with world.database.read() as session:
        assert session.get(Order, kept) is not None
        assert session.get(Order, later) is None
    assert migrate.check(world.database) == []
    assert world.scan() not in {kept, later}


def test_a_backup_is_not_written_over(there: Restorable) -> None:
    there.back_up()
    with pytest.raises(BackupError, match="already"):
        there.back_up()


def test_a_folder_nobody_may_write_in_is_told_in_words(there: Restorable) -> None:
    for place in (Path("/proc/backups"), Path("/proc/version")):
        with pytest.raises(BackupError, match=f"write in {place} "):
            programs.back_up(there.till.cloud, place / "coffee.backup")
    with pytest.raises(BackupError, match="write in /proc "):
        programs.look_into(there.till.cloud, Path("/proc/version"))


@pytest.mark.parametrize("room", [0.5, 1.5])
def test_a_full_disk_is_told_and_holds_nothing_of_it(there: Restorable, tmp_path: Path, room: float) -> None:
    """The copy fits, or not even that."""
    needed = there.back_up().size
    with a_small_disk(tmp_path / "disk", 2 * needed // 2**20 + 4) as small:
        small.fill(leave=int(room * needed))
        before = list(small.folder.iterdir())
        with pytest.raises(BackupError, match=r"full|No space left"):
            programs.back_up(there.till.cloud, small.folder / "coffee.backup")
        assert list(small.folder.iterdir()) == before


def test_a_full_database_is_not_replaced_without_a_word(there: Restorable) -> None:
    there.back_up()
    order_id = there.world.scan()
    with pytest.raises(BackupError, match="--replace"):
        there.restore(replaces=False)
    assert there.world.status(order_id) == "created"


def test_a_database_at_work_is_not_replaced(there: Restorable) -> None:
    there.back_up()
    with pytest.raises(BackupError, match="always there works on it"):
        programs.restore(there.till.cloud, there.file, replaces=True)


@pytest.mark.parametrize("harm", ["cut", "changed", "nonsense"])
def test_a_damaged_file_changes_nothing(there: Restorable, harm: str) -> None:
    there.back_up()
    order_id = there.world.scan()
    whole = there.file.read_bytes()
    middle = len(whole) // 2
    harmed = {
        "cut": whole[:middle],
        "changed": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "nonsense": b"this is no backup" * 1000,
    }
    there.file.write_bytes(harmed[harm])
    with pytest.raises(BackupError, match=r"damaged|no backup"):
        there.restore()
    assert there.world.status(order_id) == "created"


def test_a_backup_of_a_newer_program_is_refused(there: Restorable, monkeypatch: pytest.MonkeyPatch) -> None:
    there.back_up()
    monkeypatch.setattr(migrate, "is_known", lambda _: False)
    with pytest.raises(BackupError, match="take a newer one"):
        there.restore()


def test_a_restore_that_dies_before_it_was_marked_is_marked_by_the_next_program(
    there: Restorable, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.back_up()
    monkeypatch.setattr(programs, "begin_what_was_restored", lambda _: None)
    there.restore()
    with there.world.database.read() as session:
        assert session.scalars(select(Restore)).one().begun_at is None
    monkeypatch.undo()
    programs.begin_what_was_restored(there.till.cloud)
    programs.begin_what_was_restored(there.till.cloud)
    with there.world.database.read() as session:
        assert session.scalars(select(Restore)).one().begun_at is not None
    assert len(there.lacking()) == 2


def test_a_failing_restore_leaves_the_database_as_it_was(
    migrated_postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with a_world(migrated_postgres_url) as world, a_till(world) as till:
        there = Restorable(till, tmp_path)
        there.back_up()
        order_id = world.scan()
        broken = tmp_path / "broken.sql"
        broken.write_text("SELECT 1;\nCREATE TABLE nonsense (id nosuchtype);\n")
        real = archive.unpack
        monkeypatch.setattr(programs, "_unpacked", lambda *_: (real(there.file, tmp_path)[0], broken))
        with pytest.raises(BackupError, match="nosuchtype"):
            there.restore()
        assert world.status(order_id) == "created"


def test_a_sqlite_file_somebody_has_open_is_not_replaced(sqlite_till: Till, tmp_path: Path) -> None:
    there = Restorable(sqlite_till, tmp_path)
    there.back_up()
    there.stop_workers()
    other = Database(str(there.world.database.url))
    try:
        with other.read() as session:
            session.execute(text("SELECT count(*) FROM orders")).all()
            there.let_go()
            with pytest.raises(BackupError, match="open"):
                programs.restore(there.till.cloud, there.file, replaces=True)
    finally:
        other.close()


def test_a_log_that_a_file_left_when_it_was_moved_away_is_not_read(sqlite_till: Till, tmp_path: Path) -> None:
    there = Restorable(sqlite_till, tmp_path)
    kept = there.world.scan()
    there.back_up()
    later = there.world.scan()
    file = Path(there.world.database.url.database or "")
    log = file.with_name(f"{file.name}-wal")
    left = log.read_bytes()
    there.let_go()
    file.unlink()
    log.write_bytes(left)
    programs.restore(there.till.cloud, there.file, replaces=False)
    with there.world.database.read() as session:
        assert session.scalars(text("PRAGMA integrity_check")).all() == ["ok"]
        assert session.get(Order, kept) is not None
        assert session.get(Order, later) is None


@pytest.mark.parametrize("place", ["head", "pages"])
def test_a_damaged_sqlite_file_is_replaced_when_that_is_asked(sqlite_till: Till, tmp_path: Path, place: str) -> None:
    there = Restorable(sqlite_till, tmp_path)
    order_id = there.world.scan()
    there.back_up()
    there.stop_workers()
    there.let_go()
    file = Path(there.world.database.url.database or "")
    whole = file.read_bytes()
    harm = b"\x5a" * 8192
    file.write_bytes(harm + whole[len(harm) :] if place == "head" else whole[:100] + harm * (len(whole) // len(harm)))
    with pytest.raises(BackupError, match="--replace"):
        programs.restore(there.till.cloud, there.file, replaces=False)
    programs.restore(there.till.cloud, there.file, replaces=True)
    assert there.world.status(order_id) == "created"


def test_it_may_be_written_while_others_write(there: Restorable) -> None:
    order_id = there.world.scan()
    with there.world.database.read() as session:
        session.execute(text("SELECT 1"))
        there.back_up()
    there.world.database.transact(lambda tx: tx.session.execute(update(Order).values(language="en")) and None)
    there.restore()
    assert there.world.order(order_id).language == "ru"
    assert not list(there.file.parent.glob(".coffee-*"))
