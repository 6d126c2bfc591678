import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from geoseg.errors import SettingsError
from geoseg.store.lock import LOCK_KEY, Lock
from geoseg.store.lock_holder import Holder
from geoseg.store.storages.base import Storage
from geoseg.store.storages.opening import open_storage
from tests.support.s3 import wait_until

KEY = LOCK_KEY
HOLD = """if True:
    import sys
    from geoseg.store.lock import LOCK_KEY, Lock
    from geoseg.store.storages.opening import open_storage
    _, url, run_id, heartbeat_s, expires_s = sys.argv
    lock = Lock(open_storage(url), run_id, heartbeat_s=float(heartbeat_s), expires_s=float(expires_s))
    with lock:
        print("held", flush=True)
        for line in sys.stdin:
            print(lock.lost, flush=True)
"""
RACE = """if True:
    import sys, time
    from geoseg.errors import SettingsError
    from geoseg.store.lock import LOCK_KEY, Lock
    from geoseg.store.storages.opening import open_storage
    storage = open_storage(sys.argv[1])
    lock = Lock(storage, sys.argv[2])
    storage.put(f"ready/{sys.argv[2]}", b"")
    while storage.size("go") is None: time.sleep(0.01)
    try:
        lock.acquire()
        print("won", flush=True)
        sys.stdin.readline()
        print(lock.lost)
    except SettingsError as error:
        print(error, flush=True)
"""


class Process:
    """A Python process that answers lines."""

    def __init__(self, code: str, *arguments: object) -> None:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def ask(self) -> str:
        assert self.popen.stdin is not None
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()
        return self.read()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.communicate()


@contextmanager
def running(code: str, *arguments: object) -> Iterator[Process]:
    process = Process(code, *arguments)
    try:
        yield process
    finally:
        process.kill()


@contextmanager
def holding(storage: Storage, *, heartbeat_s: float = 10, expires_s: float = 60) -> Iterator[Process]:
    """Another process that holds the lock."""
    with running(HOLD, storage.url, "first-run", heartbeat_s, expires_s) as process:
        assert process.read() == "held"
        yield process


def holder(storage: Storage) -> dict[str, object]:
    return dict(json.loads(storage.get(KEY)))


def write_dead(storage: Storage, key: str = KEY, name: str = "dead", **changes: object) -> None:
    """Write the lock of a dead run on another machine, with `changes`; `name` is its token."""
    found = json.loads(Holder.this_process("dead-run", 60).to_json())
    storage.put(key, json.dumps(found | {"token": name, "machine": "elsewhere", "host": "node7"} | changes).encode())


def test_a_lock_is_held_and_released(storage: Storage) -> None:
    with Lock(storage, "one") as lock:
        assert holder(storage)["run_id"] == "one"
        assert not lock.lost
        with pytest.raises(SettingsError, match="in use by run one"):
            Lock(storage, "two").acquire()
    assert storage.keys("") == []
    with Lock(storage, "two"):
        assert holder(storage)["run_id"] == "two"


def test_the_refusal_names_the_holder(storage: Storage) -> None:
    with holding(storage) as process:
        found = holder(storage)
        with pytest.raises(SettingsError) as caught:
            Lock(storage, "second-run").acquire()
        assert str(caught.value).startswith(
            f"The output {storage.url} is in use by run first-run on host {found['host']} "
            f"(process {process.popen.pid}), started {found['started_at']}, last heard of "
        )
        assert str(caught.value).endswith(
            " s ago. Wait for it, or give another --output. A run that died is taken over after 60 s."
        )
        assert holder(storage) == found
        process.popen.communicate()  # the end of its input is the end of its run
        assert storage.keys("") == []


def test_a_killed_holder_of_this_machine_is_taken_over_at_once(storage: Storage) -> None:
    with holding(storage) as process:
        process.kill()
    start = time.monotonic()
    with Lock(storage, "second-run") as lock:
        assert time.monotonic() - start < 5
        assert holder(storage)["run_id"] == "second-run"
        assert not lock.lost
        assert storage.keys("") == [KEY]
    assert storage.keys("") == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux")
def test_a_reused_pid_and_a_zombie_count_as_dead(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    with holding(storage) as process:
        found = holder(storage)
        storage.put(KEY, json.dumps(found | {"process_start": 1}).encode())
        Lock(storage, "second-run").acquire()
        storage.put(KEY, json.dumps(found).encode())
        with pytest.raises(SettingsError):
            Lock(storage, "second-run").acquire()
        process.popen.send_signal(signal.SIGKILL)
        wait_until(lambda: ") Z " in Path(f"/proc/{process.popen.pid}/stat").read_text(), 10)
        Lock(storage, "third-run").acquire()
        assert holder(storage)["run_id"] == "third-run"


def test_a_holder_elsewhere_is_taken_over_only_when_it_expires(storage: Storage) -> None:
    write_dead(storage, expires_s=2.5)
    with pytest.raises(SettingsError, match=r"run dead-run on host node7 .* is taken over after 2\.5 s"):
        Lock(storage, "second-run").acquire()
    time.sleep(3.6)
    with Lock(storage, "second-run"):
        assert holder(storage)["run_id"] == "second-run"
        assert storage.keys("") == [KEY]


def test_a_holder_with_heartbeats_does_not_expire(storage: Storage) -> None:
    with Lock(storage, "one", heartbeat_s=0.2, expires_s=2.5) as lock:
        storage.put(KEY, json.dumps(holder(storage) | {"machine": "elsewhere"}).encode())
        time.sleep(3.6)
        with pytest.raises(SettingsError, match=r"last heard of [01] s ago"):
            Lock(storage, "two").acquire()
        assert int(str(holder(storage)["heartbeat"])) >= 5
        assert not lock.lost


def test_a_frozen_holder_is_taken_over_and_detects_it(storage: Storage) -> None:
    with holding(storage, heartbeat_s=0.2, expires_s=2.5) as process:
        assert process.ask() == "False"
        process.popen.send_signal(signal.SIGSTOP)
        time.sleep(3.6)
        with Lock(storage, "second-run", heartbeat_s=0.2) as lock:
            process.popen.send_signal(signal.SIGCONT)
            assert process.ask() == "True"
            process.popen.communicate()
            assert holder(storage)["run_id"] == "second-run"
            assert not lock.lost


def test_a_frozen_holder_that_was_not_taken_over_continues(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    with holding(storage, heartbeat_s=60, expires_s=0.5) as process:
        process.popen.send_signal(signal.SIGSTOP)
        time.sleep(1)
        process.popen.send_signal(signal.SIGCONT)
        assert process.ask() == "False"


@pytest.mark.parametrize("overwrite", [b"", b"{}", None])
def test_a_lock_that_is_gone_or_overwritten_is_lost(tmp_path: Path, overwrite: bytes | None) -> None:
    storage = open_storage(str(tmp_path))
    with Lock(storage, "one", heartbeat_s=0.05) as lock:
        storage.delete(KEY) if overwrite is None else storage.put(KEY, overwrite)
        wait_until(lambda: lock.lost, 5)
    assert storage.keys("") == ([] if overwrite is None else [KEY])


def test_a_run_without_heartbeats_loses_its_lock_when_it_expires(tmp_path: Path) -> None:
    root = tmp_path / "out"
    storage = open_storage(str(root))
    with Lock(storage, "one", heartbeat_s=0.05, expires_s=1) as lock:
        root.rename(tmp_path / "away")
        root.write_text("the disk is away")
        time.sleep(0.5)
        assert not lock.lost
        wait_until(lambda: lock.lost, 5)


def test_a_failed_heartbeat_is_repeated(tmp_path: Path) -> None:
    root = tmp_path / "out"
    storage = open_storage(str(root))
    with Lock(storage, "one", heartbeat_s=0.05) as lock:
        root.rename(tmp_path / "away")
        root.write_text("the disk is away")
        time.sleep(0.3)
        root.unlink()
        (tmp_path / "away").rename(root)
        before = holder(storage)["heartbeat"]
        wait_until(lambda: holder(storage)["heartbeat"] != before, 5)
        assert not lock.lost


@pytest.mark.parametrize("links", [0, 1, 2])
def test_of_eight_runs_one_takes_over(storage: Storage, links: int) -> None:
    """The dead holder may have claims that died before they wrote the lock."""
    write_dead(storage, name="dead0", expires_s=0)
    for link in range(links):
        write_dead(storage, f"{KEY}.claims/dead{link}", name=f"dead{link + 1}", expires_s=0)
    time.sleep(1.1)
    with ExitStack() as stack:
        racers = [stack.enter_context(running(RACE, storage.url, f"run-{index}")) for index in range(8)]
        wait_until(lambda: len(storage.keys("ready")) == 8, 120)
        storage.put("go", b"")
        answers = [racer.read() for racer in racers]
        winner = answers.index("won")
        assert answers.count("won") == 1
        assert all(f"is in use by run run-{winner} " in answer for answer in answers if answer != "won")
        assert racers[winner].ask() == "False"
        assert holder(storage)["run_id"] == f"run-{winner}"
        assert storage.keys(".lock") == [KEY]


def test_a_claim_in_progress_is_waited_for(storage: Storage) -> None:
    write_dead(storage, expires_s=0)
    write_dead(storage, f"{KEY}.claims/dead", name="claim", run_id="claim-run")
    time.sleep(1.1)
    with pytest.raises(SettingsError, match="in use by run claim-run"):
        Lock(storage, "third-run").acquire()


def test_an_object_that_is_not_a_lock_is_kept(storage: Storage) -> None:
    storage.put(KEY, b"something else")
    with pytest.raises(SettingsError, match=r"run\.json is not what this version of geoseg writes.*Delete it"):
        Lock(storage, "one").acquire()
    assert storage.get(KEY) == b"something else"
