"""The wakeups: wake whoever listens once, and forget who has left."""

import threading

from cloud.database.wakeup import Wakeups


def test_a_wake_up_before_the_wait_is_not_lost() -> None:
    wakeups = Wakeups()
    with wakeups.waiter("news") as ear:
        wakeups.wake(["news"])
        assert ear.wait(0)


def test_a_wake_up_is_heard_once() -> None:
    wakeups = Wakeups()
    with wakeups.waiter("news") as ear:
        wakeups.wake(["news", "news"])
        wakeups.wake(["news"])
        assert ear.wait(0)
        assert not ear.wait(0)


def test_everybody_of_a_topic_hears_it_and_nobody_else() -> None:
    wakeups = Wakeups()
    with wakeups.waiter("a") as one, wakeups.waiter("a") as two, wakeups.waiter("b") as three:
        wakeups.wake(["a"])
        assert [ear.wait(0) for ear in (one, two, three)] == [True, True, False]
        wakeups.wake_all()
        assert [ear.wait(0) for ear in (one, two, three)] == [True, True, True]


def test_a_waiting_thread_wakes() -> None:
    wakeups = Wakeups()
    with wakeups.waiter("news") as ear:
        heard: list[bool] = []
        thread = threading.Thread(target=lambda: heard.append(ear.wait(30)))
        thread.start()
        wakeups.wake(["news"])
        thread.join(30)
        assert heard == [True]


def test_one_ear_can_be_woken_alone() -> None:
    wakeups = Wakeups()
    with wakeups.waiter("a") as one, wakeups.waiter("a") as two:
        one.wake()
        assert (one.wait(0), two.wait(0)) == (True, False)


def test_whoever_leaves_is_forgotten_also_twice() -> None:
    wakeups = Wakeups()
    for number in range(1000):
        ear = wakeups.waiter(f"order:{number}")
        ear.close()
        ear.close()
        wakeups.wake([f"order:{number}"])
        assert not ear.wait(0)
    assert wakeups.topics == 0


def test_a_time_already_past_is_no_wait() -> None:
    with Wakeups().waiter("news") as ear:
        assert not ear.wait(-5)
