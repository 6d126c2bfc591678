"""The frozen plan of one scene: the common input of all its units of work."""

from dataclasses import dataclass
from datetime import datetime

from geoseg.grid.decision import CONFIDENCE, Decision
from geoseg.grid.fusion import DATES
from geoseg.grid.legend import Legend
from geoseg.grid.tiling import Tiling
from geoseg.plan.polygon_plan import PolygonPlan
from geoseg.raster.bands import BandSelection
from geoseg.raster.source.scene import Scene
from geoseg.reuse.reused import Reused
from geoseg.store.manifest import Fingerprint
from geoseg.store.scene_store import SceneStore


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """The plan of one scene, passed to every unit of work on it."""

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
    """Bytes of one block in work, see `geoseg.plan.sizing.BlockMemory`."""
    fingerprint: Fingerprint
    """All that can change a byte of the results."""
    unit_timeout_s: float
    """Seconds a unit of work on a block may take."""
    allow_empty: bool
    """Whether a scene without a valid pixel is published."""
    decision: Decision
    """What is decided from the scores of a pixel."""
    smoothing_px: int = 0
    """Radius of the majority filter on the classes; 0: none."""
    rasters: tuple[str, ...] = (CONFIDENCE,)
    """Rasters that are published beside the class map: the confidence, and layers of `decision`."""
    reused: Reused | None = None
    """Published rasters whose pixels are taken over; None if the model gives them."""

    @property
    def is_fused(self) -> bool:
        """Whether each date of the scene is predicted by itself, and scores are summed."""
        return self.scene.composite is not None and self.scene.composite.is_fused

    @property
    def dates(self) -> float:
        """Dates of a pixel that are predicted, on average and at most; 1 unless dates are fused."""
        composite = self.scene.composite
        return 1.0 if composite is None or not composite.is_fused else composite.mean_dates(self.scene.grid.window)

    @property
    def has_polygons(self) -> bool:
        """Whether polygons are published: a scene without a CRS gets none."""
        return bool(self.scene.grid.crs)

    @property
    def planes(self) -> int:
        """Published bytes of a pixel: class map and rasters."""
        return 1 + self.decision.planes + (CONFIDENCE in self.rasters) + 2 * (DATES in self.rasters)

    @property
    def cut_px(self) -> int:
        """Period of the lattice at which boundary lines are cut: the stride of the patches."""
        return self.tiling.lattice.rows.stride_px
