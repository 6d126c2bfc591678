"""A lock that prevents two runs on one output.

The lock is an object that names its holder. The holder writes it again every few seconds (heartbeat), so other runs can
tell a running holder from a dead one. It is a lease: a run that was frozen for longer may have lost it and must stop
(`Lock.lost`). Its token is passed to the workers: before each change of published files they check that the lock still
has it (`require_lock`); `geoseg.store.commit` prevents a change that comes after a successful check.
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
"""Key of the lock; outside the scenes' work, because a scene may have any name."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of a lock; the content of its JSON."""

    token: str
    """Random; unique for each holder."""
    run_id: str
    """Id of its run."""
    host: str
    """Name of its machine, for messages."""
    pid: int
    """Id of its process."""
    process_start: int | None
    """Start of the process in ticks since boot: the system reuses a pid, but not with the same start."""
    machine: str | None
    """Boot and pid namespace of `pid`; None if unknown (not Linux)."""
    user: str
    """User who started the run."""
    started_at: str
    """When it took the lock, by its own clock, in UTC."""
    expires_s: float
    """Seconds without heartbeat after which the lock may be taken over."""
    heartbeat: int = 0
    """Number of heartbeats."""

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
        """Whether it is a process of this machine, so that `is_dead` can be determined."""
        return self.machine is not None and self.machine == _machine()

    @property
    def is_dead(self) -> bool:
        """Whether it is known to be dead: a process of this machine that has ended."""
        if not self.is_here:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # a process of another user, whose start /proc may hide
            return False
        return _process_start(self.pid) != self.process_start

    def to_json(self) -> bytes:
        """Serialise it."""
        return json.dumps(asdict(self), indent=1).encode()


class Lock:
    """The lock of one run on an output; a context manager, for one use.

    Args:
        storage: The output.
        run_id: Id of the run, for the message to refused runs.
        key: Key of the lock's object.
        heartbeat_s: Seconds between heartbeats.
        expires_s: Seconds without heartbeat after which others may take the lock; several times `heartbeat_s`.
    """

    def __init__(
        self,
        storage: Storage,
        run_id: str,
        key: str = LOCK_KEY,
        *,
        heartbeat_s: float = 10.0,
        expires_s: float = 60.0,
    ) -> None:
        self._storage, self._key = storage, key
        self._me = Holder.this_process(run_id, expires_s)
        self._heartbeat_s = heartbeat_s
        self._last_heartbeat = time.monotonic()
        self._lost = False
        self._stop = threading.Event()
        self._heartbeat_mutex = threading.Lock()
        self._thread = threading.Thread(target=self._send_heartbeats, name="geoseg-lock", daemon=True)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def lost(self) -> bool:
        """Whether another run may hold the lock; final once true. An overdue heartbeat is sent first."""
        if not self._lost and not self._stop.is_set() and self._since_heartbeat_s > self._me.expires_s:
            self._heartbeat()
        return self._lost

    @property
    def token(self) -> str:
        """Token in the lock while this run holds it; see `require_lock`."""
        return self._me.token

    def acquire(self) -> None:
        """Take the lock, also from a dead holder.

        Raises:
            SettingsError: If another run holds it.
            OSError: If the storage fails.
        """
        while not self._storage.create(self._key, self._me.to_json()):
            holder = self._holder(self._key)
            if holder is None:  # it has just been released
                continue
            # S3 may repeat a request whose answer was lost, and then find its own lock.
            if holder.token == self._me.token or self._take_over(holder):
                break
        self._last_heartbeat = time.monotonic()
        self._thread.start()
        with suppress(OSError):  # the next run does it
            self._delete_claims()

    def release(self) -> None:
        """Stop the heartbeats, and remove the lock if this run still holds it."""
        self._stop.set()
        self._thread.join()
        with suppress(OSError):  # the lock expires
            if self._is_held_by(self._me):
                self._storage.delete(self._key)
                self._delete_claims()

    def _take_over(self, holder: Holder) -> bool:
        """Take over from a stale holder; False if another run has taken or released the lock meanwhile.

        Only one run can create the claim on a holder. If that run dies before it has written the lock, other runs
        create a claim on the claim, so claims are never withdrawn.
        """
        last, key = holder, self._key
        while True:
            age_s = self._storage.age_s(key)
            if age_s is not None and age_s <= last.expires_s and not last.is_dead:
                if self._is_held_by(holder):
                    raise self._refusal(last, age_s)
                return False  # `last` was too late, too
            key = self._claim_key(last)
            if self._storage.create(key, self._me.to_json()):
                break
            claim = self._holder(key)
            if claim is None:  # removed: another run has taken over
                return False
            if claim.token == self._me.token:
                break
            last = claim
        if not self._is_held_by(holder):
            self._storage.delete(key)
            return False
        self._storage.put(self._key, self._me.to_json())
        return True

    def _refusal(self, holder: Holder, age_s: float) -> SettingsError:
        return SettingsError(
            f"The output {self._storage.url} is in use by run {holder.run_id} on host {holder.host} (process "
            f"{holder.pid}), started {holder.started_at}, last heard of {age_s:.0f} s ago. Wait for it, or give "
            f"another --output. A run that died is taken over after {holder.expires_s:g} s."
        )

    def _send_heartbeats(self) -> None:
        while not self._lost and not self._stop.wait(self._heartbeat_s):
            self._heartbeat()

    def _heartbeat(self) -> None:
        with self._heartbeat_mutex:
            try:
                if self._is_held_by(self._me):
                    now = time.monotonic()
                    self._me = replace(self._me, heartbeat=self._me.heartbeat + 1)
                    self._storage.put(self._key, self._me.to_json())
                    self._last_heartbeat = now
                else:
                    self._lost = True
            except OSError:  # tried again at the next heartbeat
                self._lost = self._since_heartbeat_s > self._me.expires_s

    @property
    def _since_heartbeat_s(self) -> float:
        return time.monotonic() - self._last_heartbeat

    def _is_held_by(self, holder: Holder) -> bool:
        return _has_token(self._storage, self._key, holder.token)

    def _holder(self, key: str) -> Holder | None:
        return _read_holder(self._storage, key)

    def _claim_key(self, holder: Holder) -> str:
        return f"{self._key}.claims/{holder.token}"

    def _delete_claims(self) -> None:
        """Remove the claims of earlier takeovers, but not a claim on this run."""
        for key in self._storage.keys(f"{self._key}.claims"):
            if key != self._claim_key(self._me):
                self._storage.delete(key)


def require_lock(storage: Storage, token: str) -> None:
    """Check that a run still holds the lock of an output; call it before each change of published files.

    Args:
        storage: The output.
        token: `Lock.token` of the run.

    Raises:
        LockLostError: If it does not.
        OSError: If the storage fails.
    """
    if not _has_token(storage, LOCK_KEY, token):
        raise taken_over(storage.url)


def taken_over(output: str) -> LockLostError:
    """The error of a run that has lost its lock."""
    return LockLostError(
        f"Another run has taken over the output {output}: nothing was heard of this one for too long (its process was "
        "frozen, or the storage out of reach). What is published there is the other run's."
    )


def _has_token(storage: Storage, key: str, token: str) -> bool:
    try:
        holder = _read_holder(storage, key)
    except SettingsError:  # it is not a lock of geoseg
        return False
    return holder is not None and holder.token == token


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
    """Field 22 of /proc/<pid>/stat; None if there is no such process, or a zombie."""
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
    """A new run id: start time and random digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
