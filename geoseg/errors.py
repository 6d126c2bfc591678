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

    exit_code = ExitCode.CRASH

    def __init__(self, message: str) -> None:
        """Keep the message without the secrets that a URL in it may hold."""
        super().__init__(redact(message))


class SettingsError(GeosegError):
    """The run cannot start as asked: settings, bundle, output folder or cluster."""

    exit_code = ExitCode.SETTINGS


class SceneError(GeosegError):
    """One scene cannot be processed. The other scenes of the run go on."""

    exit_code = ExitCode.SCENES_FAILED
