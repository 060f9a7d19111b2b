"""The bell: rings once for whoever listens, and forgets who has left."""

import threading

from cloud.database.wakeup import Bell


def test_a_ring_before_the_wait_is_not_lost() -> None:
    bell = Bell()
    with bell.listen("news") as ear:
        bell.ring(["news"])
        assert ear.wait(0)


def test_a_ring_is_heard_once() -> None:
    bell = Bell()
    with bell.listen("news") as ear:
        bell.ring(["news", "news"])
        bell.ring(["news"])
        assert ear.wait(0)
        assert not ear.wait(0)


def test_everybody_of_a_topic_hears_it_and_nobody_else() -> None:
    bell = Bell()
    with bell.listen("a") as one, bell.listen("a") as two, bell.listen("b") as three:
        bell.ring(["a"])
        assert [ear.wait(0) for ear in (one, two, three)] == [True, True, False]
        bell.ring_all()
        assert [ear.wait(0) for ear in (one, two, three)] == [True, True, True]


def test_a_waiting_thread_wakes() -> None:
    bell = Bell()
    with bell.listen("news") as ear:
        heard: list[bool] = []
        thread = threading.Thread(target=lambda: heard.append(ear.wait(30)))
        thread.start()
        bell.ring(["news"])
        thread.join(30)
        assert heard == [True]


def test_one_ear_can_be_woken_alone() -> None:
    bell = Bell()
    with bell.listen("a") as one, bell.listen("a") as two:
        one.ring()
        assert (one.wait(0), two.wait(0)) == (True, False)


def test_whoever_leaves_is_forgotten_also_twice() -> None:
    bell = Bell()
    for number in range(1000):
        ear = bell.listen(f"order:{number}")
        ear.close()
        ear.close()
        bell.ring([f"order:{number}"])
        assert not ear.wait(0)
    assert bell.topics == 0


def test_a_time_already_past_is_no_wait() -> None:
    with Bell().listen("news") as ear:
        assert not ear.wait(-5)
