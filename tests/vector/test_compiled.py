"""Where the machine code goes. In processes of their own, since numba decides at import."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "geoseg"
COUNT = """
import numpy as np
from geoseg.grid.window import Window
from geoseg.vector.labels.components import find_components
classes = np.array([[0, 1], [0, 0]], np.uint8)
print(len(find_components(classes, classes, Window(0, 0, 2, 2), 2)[1]))
"""


def run(folder, **environment):
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LD_LIBRARY_PATH"}}
    found = subprocess.run(
        [sys.executable, "-c", COUNT], cwd=folder, env=kept | environment, capture_output=True, text=True, check=True
    )
    assert (found.stdout, found.stderr) == ("2\n", "")


def test_machine_code_is_kept_where_the_user_wants_it(tmp_path):
    run(PACKAGE.parent, HOME=str(tmp_path), NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert list(tmp_path.glob("cache/*/components*.nbi"))


def copy_read_only(tmp_path):
    """A package whose folders take no machine code; permissions would not stop an administrator."""
    installed = tmp_path / "installed" / "geoseg"
    shutil.copytree(PACKAGE, installed, ignore=shutil.ignore_patterns("__pycache__"))
    (installed / "vector/labels/__pycache__").touch()
    return installed.parent


def test_a_read_only_package_uses_the_users_folder(tmp_path):
    run(copy_read_only(tmp_path), HOME=str(tmp_path / "home"))
    assert list(tmp_path.glob("home/.cache/numba/*/components*.nbi"))


def test_nothing_can_be_written_anywhere(tmp_path):
    run(copy_read_only(tmp_path), HOME=os.devnull)
    assert not list(tmp_path.rglob("*.nbi"))
