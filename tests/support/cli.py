"""Call the command line in this process and capture exit code and output."""

import sys
from dataclasses import dataclass

import pytest

from geoseg.cli import main


@dataclass(frozen=True)
class Printed:
    code: int
    out: str
    err: str


@dataclass
class CommandLine:
    """Calls `geoseg` as a shell would."""

    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: object) -> Printed:
        self.patch.setattr(sys, "argv", ["geoseg", *map(str, words)])
        self.capture.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        out, err = self.capture.readouterr()
        return Printed(code, out, err)
