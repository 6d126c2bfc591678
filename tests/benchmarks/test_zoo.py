"""The table of the zoo's speed."""

import re

import pytest

from tests.benchmarks.zoo import main


def test_the_table_states_speed_and_conditions(capsys: pytest.CaptureFixture[str]) -> None:
    main(["lenet"])
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\| lenet \| 0\.06 M \| [\d,]+ \| \d+\.\d\d \|", lines[2])
    assert "batches of 1, patches of 256 px" in lines[-1]
