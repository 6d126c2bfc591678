"""The frozen plan of one scene: all that its units of work need to know."""

from dataclasses import dataclass
from datetime import datetime

from geoseg.grid.legend import Legend
from geoseg.grid.tiling import Tiling
from geoseg.plan.polygon_plan import PolygonPlan
from geoseg.raster.bands import BandSelection
from geoseg.raster.source.scene import Scene
from geoseg.store.manifest import Fingerprint
from geoseg.store.scene_store import SceneStore


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """What every unit of work on a scene needs to know."""

    scene: Scene
    selection: BandSelection
    """Bands of the scene that feed the model, and its mask."""
    tiling: Tiling
    legend: Legend
    store: SceneStore
    model: str
    """Name of the model, a column of the polygons."""
    observed_at: datetime | None
    polygons: PolygonPlan
    block_bytes: int
    """Bytes of one block in flight, see `project_block_bytes`."""
    fingerprint: Fingerprint
    """All that can change a byte of the results."""
    unit_timeout_s: float
    """Seconds a unit of work on a block may take."""
    allow_empty: bool
    """Publish the scene if none of its pixels is valid, too."""

    @property
    def has_polygons(self) -> bool:
        """Tell whether polygons are published: without a CRS they have no place."""
        return bool(self.scene.grid.crs)
