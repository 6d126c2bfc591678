"""A lock that prevents two runs on one output.

The lock is an object that names its holder. The holder writes it again every few seconds (heartbeat), so other runs can
tell a running holder from a dead one. It is a lease: a run that was frozen for longer may have lost it and must stop
(`Lock.lost`). Its token is passed to the workers: before each change of published files they check that the lock still
has it (`require_lock`); `geoseg.store.commit` prevents a change that comes after a successful check.
"""

import secrets
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

from geoseg.errors import LockLostError, SettingsError
from geoseg.store.lock_holder import Holder, read_holder
from geoseg.store.storages.base import Storage

LOCK_KEY = ".lock/run.json"
"""Key of the lock; outside the scenes' work, because a scene may have any name."""


class Lock:
    """The lock of one run on an output; a context manager, for one use.

    Args:
        storage: The output.
        run_id: Id of the run, for the message to refused runs.
        heartbeat_s: Seconds between heartbeats.
        expires_s: Seconds without heartbeat after which others may take the lock; several times `heartbeat_s`.
    """

    def __init__(self, storage: Storage, run_id: str, *, heartbeat_s: float = 10.0, expires_s: float = 60.0) -> None:
        self._storage = storage
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

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        with suppress(OSError):  # the lock expires
            if self._is_held_by(self._me):
                self._storage.delete(LOCK_KEY)
                self._delete_claims()

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
        while not self._storage.create(LOCK_KEY, self._me.to_json()):
            holder = read_holder(self._storage, LOCK_KEY)
            if holder is None:  # it has just been released
                continue
            # S3 may repeat a request whose answer was lost, and then find its own lock.
            if holder.token == self._me.token or self._take_over(holder):
                break
        self._last_heartbeat = time.monotonic()
        self._thread.start()
        with suppress(OSError):  # the next run does it
            self._delete_claims()

    def _take_over(self, holder: Holder) -> bool:
        """Take over from a stale holder; False if another run has taken or released the lock meanwhile.

        Only one run can create the claim on a holder. If that run dies before it has written the lock, other runs
        create a claim on the claim, so claims are never withdrawn.
        """
        last, key = holder, LOCK_KEY
        while True:
            age_s = self._storage.age_s(key)
            if age_s is not None and age_s <= last.expires_s and not last.is_dead:
                if self._is_held_by(holder):
                    raise self._refusal(last, age_s)
                return False  # `last` was too late, too
            key = _claim_key(last)
            if self._storage.create(key, self._me.to_json()):
                break
            claim = read_holder(self._storage, key)
            if claim is None:  # removed: another run has taken over
                return False
            if claim.token == self._me.token:
                break
            last = claim
        if not self._is_held_by(holder):
            self._storage.delete(key)
            return False
        self._storage.put(LOCK_KEY, self._me.to_json())
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
                    self._storage.put(LOCK_KEY, self._me.to_json())
                    self._last_heartbeat = now
                else:
                    self._lost = True
            except OSError:  # tried again at the next heartbeat
                self._lost = self._since_heartbeat_s > self._me.expires_s

    @property
    def _since_heartbeat_s(self) -> float:
        return time.monotonic() - self._last_heartbeat

    def _is_held_by(self, holder: Holder) -> bool:
        return _has_token(self._storage, holder.token)

    def _delete_claims(self) -> None:
        """Remove the claims of earlier takeovers, but not a claim on this run."""
        for key in self._storage.keys(f"{LOCK_KEY}.claims"):
            if key != _claim_key(self._me):
                self._storage.delete(key)


def _has_token(storage: Storage, token: str) -> bool:
    try:
        holder = read_holder(storage, LOCK_KEY)
    except SettingsError:  # it is not a lock of geoseg
        return False
    return holder is not None and holder.token == token


def _claim_key(holder: Holder) -> str:
    return f"{LOCK_KEY}.claims/{holder.token}"


def require_lock(storage: Storage, token: str) -> None:
    """Check that a run still holds the lock of an output; call it before each change of published files.

    Args:
        storage: The output.
        token: `Lock.token` of the run.

    Raises:
        LockLostError: If it does not.
        OSError: If the storage fails.
    """
    if not _has_token(storage, token):
        raise taken_over(storage.url)


def taken_over(output: str) -> LockLostError:
    """The error of a run that has lost its lock."""
    return LockLostError(
        f"Another run has taken over the output {output}: nothing was heard of this one for too long (its process was "
        "frozen, or the storage out of reach). What is published there is the other run's."
    )


def new_run_id() -> str:
    """A new run id: start time and random digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
