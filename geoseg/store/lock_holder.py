"""The holder of a lock: who it is, and whether it is still alive."""

import getpass
import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from geoseg.errors import SettingsError
from geoseg.store.storages.base import Storage


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


def read_holder(storage: Storage, key: str) -> Holder | None:
    """The holder in a lock or a claim; None if there is no such object.

    Raises:
        SettingsError: If the object is not one of geoseg's.
        OSError: If the storage fails.
    """
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
