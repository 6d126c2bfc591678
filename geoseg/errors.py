"""The errors geoseg raises on purpose. Every message names the file, the value, the limit and the remedy."""

from enum import IntEnum

from geoseg.redact import redact


class ExitCode(IntEnum):
    """What the process returns. A scheduler decides by it; the report holds the details."""

    OK = 0
    CRASH = 1
    SETTINGS = 2
    SCENES_FAILED = 3


class GeosegError(Exception):
    """Something geoseg can explain. Shown as a message, never as a traceback."""

    exit_code: int = ExitCode.CRASH

    def __init__(self, message: str) -> None:
        """Keep the message without the secrets that a URL in it may hold."""
        super().__init__(redact(message))


class SettingsError(GeosegError):
    """The run cannot start as asked: settings, bundle, output folder or cluster."""

    exit_code = ExitCode.SETTINGS


class ClusterError(GeosegError):
    """The run cannot go on: nothing is left that could do the work. What is done is kept."""


class OutputError(GeosegError):
    """The output cannot be read or written just now. What is done is kept."""


class LockLostError(GeosegError):
    """Another run has taken over the output while this one could not be heard of."""


class Interrupted(GeosegError):  # noqa: N818  nothing is wrong
    """The run was told to stop. What is done is kept."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        # As a shell names a process that ended by a signal.
        self.exit_code = 128 + signum


class SceneError(GeosegError):
    """One scene cannot be processed. The other scenes of the run go on."""

    exit_code = ExitCode.SCENES_FAILED


class UnreachableError(SceneError):
    """A scene cannot be read just now, though it was before: its disk or its server is away. Worth another attempt."""


class StoreError(SceneError):
    """What the output held of a scene's unfinished work is lost or damaged; the next run does that part again."""
