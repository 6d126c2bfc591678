"""A lock that keeps two runs off one output.

The lock is an object that says who holds it and is written again every few seconds, so whoever finds it can tell a
run that works from one that died. It is a lease: a run that was frozen for longer may find it taken and must stop
(`Lock.lost`). Its token goes with the work: whoever changes what is published asks first whether the lock still bears
it (`require_lock`), and `geoseg.store.commit` makes sure that the one change that comes too late cannot happen.
"""

import getpass
import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from geoseg.errors import LockLostError, SettingsError
from geoseg.store.storages.base import Storage

LOCK_KEY = ".lock/run.json"
"""Where the lock of an output lies: beside the scenes' work, for a scene may have any name."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, as its JSON says."""

    token: str
    """Random; tells this holder from all others."""
    run_id: str
    """Its run."""
    host: str
    """Name of its machine, for people."""
    pid: int
    """Its process."""
    process_start: int | None
    """When the process started, in ticks since boot; a pid is given out again, but not with the same start."""
    machine: str | None
    """Boot and pid namespace in which `pid` means something; None where the system does not tell (not Linux)."""
    user: str
    """Who started it."""
    started_at: str
    """When it took the lock, by its own clock, in UTC."""
    expires_s: float
    """It may be taken over when it was not heard of for so long."""
    heartbeat: int = 0
    """How often it was heard of."""

    @classmethod
    def this_process(cls, run_id: str, expires_s: float) -> Self:
        """Describe a new holder in this process."""
        return cls(
            token=secrets.token_hex(8),
            run_id=run_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            process_start=_process_start(os.getpid()),
            machine=_machine(),
            user=_user(),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            expires_s=expires_s,
        )

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine, so that `is_dead` can tell."""
        return self.machine is not None and self.machine == _machine()

    @property
    def is_dead(self) -> bool:
        """Whether it is known to be dead: a process of this machine that is no more."""
        if not self.is_here:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # another user's, whose start /proc may hide
            return False
        return _process_start(self.pid) != self.process_start

    def to_json(self) -> bytes:
        """Serialise it."""
        return json.dumps(asdict(self), indent=1).encode()


class Lock:
    """The lock of one run on an output, to be taken once; a context manager.

    Args:
        storage: The output.
        run_id: The run, named to whoever is refused.
        key: The lock's object.
        beat_s: Seconds from heartbeat to heartbeat.
        expires_s: Others may take the lock when it was not heard of for so long; several times `beat_s`.
    """

    def __init__(
        self,
        storage: Storage,
        run_id: str,
        key: str = LOCK_KEY,
        *,
        beat_s: float = 10.0,
        expires_s: float = 60.0,
    ) -> None:
        self._storage, self._key = storage, key
        self._me = Holder.this_process(run_id, expires_s)
        self._beat_s = beat_s
        self._heard = time.monotonic()
        self._lost = False
        self._stop = threading.Event()
        self._beating = threading.Lock()
        self._thread = threading.Thread(target=self._beat_on, name="geoseg-lock", daemon=True)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def lost(self) -> bool:
        """Whether another run may hold the lock by now; final. A heartbeat that is overdue is made up for first."""
        if not self._lost and not self._stop.is_set() and self._silent_s > self._me.expires_s:
            self._heartbeat()
        return self._lost

    @property
    def token(self) -> str:
        """What the lock bears while it is this run's; see `require_lock`."""
        return self._me.token

    def acquire(self) -> None:
        """Take the lock, from a dead holder too.

        Raises:
            SettingsError: If another run holds it.
            OSError: If the storage fails.
        """
        while not self._storage.create(self._key, self._me.to_json()):
            holder = self._holder(self._key)
            if holder is None:  # released just now
                continue
            # S3 may repeat a request whose answer was lost, and then finds its own lock.
            if holder.token == self._me.token or self._inherit(holder):
                break
        self._heard = time.monotonic()
        self._thread.start()
        with suppress(OSError):  # the next run will
            self._forget_heirs()

    def release(self) -> None:
        """Stop the heartbeats, and remove the lock if it is still this run's."""
        self._stop.set()
        self._thread.join()
        with suppress(OSError):  # it expires
            if self._is_held_by(self._me):
                self._storage.delete(self._key)
                self._forget_heirs()

    def _inherit(self, holder: Holder) -> bool:
        """Take over from a stale holder; False if the lock changed hands meanwhile.

        Each holder has one claim, whoever creates the object that names it. An claim who dies before it wrote the lock
        has an claim in turn, so no decision is ever taken back.
        """
        last, key = holder, self._key
        while True:
            silent_s = self._storage.age_s(key)
            if silent_s is not None and silent_s <= last.expires_s and not last.is_dead:
                if self._is_held_by(holder):
                    raise self._refusal(last, silent_s)
                return False  # and `last` was too late as well
            key = self._heir_key(last)
            if self._storage.create(key, self._me.to_json()):
                break
            claim = self._holder(key)
            if claim is None:  # removed: someone has taken over
                return False
            if claim.token == self._me.token:
                break
            last = claim
        if not self._is_held_by(holder):
            self._storage.delete(key)
            return False
        self._storage.put(self._key, self._me.to_json())
        return True

    def _refusal(self, holder: Holder, silent_s: float) -> SettingsError:
        return SettingsError(
            f"The output {self._storage.url} is in use by run {holder.run_id} on host {holder.host} (process "
            f"{holder.pid}), started {holder.started_at}, last heard of {silent_s:.0f} s ago. Wait for it, or give "
            f"another --output. A run that died is taken over after {holder.expires_s:g} s."
        )

    def _beat_on(self) -> None:
        while not self._lost and not self._stop.wait(self._beat_s):
            self._heartbeat()

    def _heartbeat(self) -> None:
        with self._beating:
            try:
                if self._is_held_by(self._me):
                    now = time.monotonic()
                    self._me = replace(self._me, heartbeat=self._me.heartbeat + 1)
                    self._storage.put(self._key, self._me.to_json())
                    self._heard = now
                else:
                    self._lost = True
            except OSError:  # tried again at the next heartbeat
                self._lost = self._silent_s > self._me.expires_s

    @property
    def _silent_s(self) -> float:
        return time.monotonic() - self._heard

    def _is_held_by(self, holder: Holder) -> bool:
        return _bears(self._storage, self._key, holder.token)

    def _holder(self, key: str) -> Holder | None:
        return _read_holder(self._storage, key)

    def _heir_key(self, holder: Holder) -> str:
        return f"{self._key}.claims/{holder.token}"

    def _forget_heirs(self) -> None:
        """Remove what earlier take-overs left; the claim of this run, if it has one already, is none of these."""
        for key in self._storage.keys(f"{self._key}.claims"):
            if key != self._heir_key(self._me):
                self._storage.delete(key)


def require_lock(storage: Storage, token: str) -> None:
    """Make sure that an output is still a run's own, right before something of it is changed.

    Args:
        storage: The output.
        token: `Lock.token` of the run.

    Raises:
        LockLostError: If it is not.
        OSError: If the storage fails.
    """
    if not _bears(storage, LOCK_KEY, token):
        raise taken_over(storage.url)


def taken_over(output: str) -> LockLostError:
    """What a run says that lost its lock."""
    return LockLostError(
        f"Another run has taken over the output {output}: nothing was heard of this one for too long (its process was "
        "frozen, or the storage out of reach). What is published there is the other run's."
    )


def _bears(storage: Storage, key: str, token: str) -> bool:
    try:
        found = _read_holder(storage, key)
    except SettingsError:  # overwritten by something else
        return False
    return found is not None and found.token == token


def _read_holder(storage: Storage, key: str) -> Holder | None:
    try:
        return Holder(**json.loads(storage.get(key)))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise SettingsError(
            f"{storage.url}/{key} is not what this version of geoseg writes: {error}. "
            "Delete it if no run uses the output."
        ) from error


def _machine() -> str | None:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return None


def _process_start(pid: int) -> int | None:
    """Field 22 of /proc/<pid>/stat; None if there is no such process, or only its remains."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        return f"uid {os.getuid()}"


def new_run_id() -> str:
    """Name a run by its start."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
