"""Errors with a message for the user: the file, the value, the limit and the remedy."""

from enum import IntEnum

from geoseg.redact import redact


class ExitCode(IntEnum):
    """Exit codes of the process, for schedulers. The report has the details."""

    OK = 0
    CRASH = 1
    SETTINGS = 2
    SCENES_FAILED = 3


class GeosegError(Exception):
    """An expected error. It is printed as a message, without a traceback."""

    exit_code: int = ExitCode.CRASH

    def __init__(self, message: str) -> None:
        """Store the message without secrets of URLs."""
        super().__init__(redact(message))


class SettingsError(GeosegError):
    """The run cannot start: wrong settings, bundle, output or cluster."""

    exit_code = ExitCode.SETTINGS


class ClusterError(GeosegError):
    """The run cannot continue, because no worker is left. Finished blocks are kept."""


class OutputError(GeosegError):
    """The output cannot be read or written at the moment. Finished blocks are kept."""


class LockLostError(GeosegError):
    """Another run took over the output, because this run did not renew its lock in time."""


class Interrupted(GeosegError):  # noqa: N818  it is no error
    """The run was stopped by a signal. Finished blocks are kept."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        # The exit code that shells use for a process that a signal ended.
        self.exit_code = 128 + signum


class SceneError(GeosegError):
    """One scene cannot be processed. The other scenes of the run continue."""

    exit_code = ExitCode.SCENES_FAILED


class UnreachableError(SceneError):
    """A scene could be read before, but not at the moment: its disk or server is unavailable. A retry may help."""


class StoreError(SceneError):
    """Unfinished work of a scene in the output is lost or damaged; the next run repeats that part."""
