"""Which polygons a scene gets, in its own pixels and class ids."""

from dataclasses import dataclass

from geoseg.errors import SceneError

MAX_BLOCK_COUNT = 2_000_000
"""All regions of a block are traced together in memory, up to a kilobyte each."""


@dataclass(frozen=True, slots=True)
class PolygonPlan:
    """Which polygons of a scene are published and how they are made."""

    crs: str
    """``native`` or ``EPSG:nnnn``."""
    simplify_px: float
    """See `geoseg.vector.lines.simplify.simplify_arcs`; 0 keeps every corner."""
    min_area_px: int
    """Components of fewer pixels take the class of a neighbour."""
    classes: tuple[int, ...] | None
    """Classes that are published; None for all."""
    not_dissolved: tuple[int, ...]
    """Classes whose polygons stay cut at the patch lattice."""
    max_count: int
    """A scene with more regions than this fails: its class map is noise, not land use."""

    @property
    def has_min_area(self) -> bool:
        """Tell whether small components take the class of a neighbour."""
        return self.min_area_px > 1

    def check_count(self, regions: int, path: str, *, block: bool = False) -> None:
        """Fail if a class map has too many regions to be land use.

        Args:
            regions: Number of regions of one class so far; a region that spans blocks counts once in each.
            path: The scene.
            block: Whether these are the regions of a single block, which are in memory together.

        Raises:
            SceneError: If there are too many.
        """
        if block and regions > MAX_BLOCK_COUNT:
            raise SceneError(
                f"{path}: the class map has {regions} regions in one block, more than {MAX_BLOCK_COUNT}, which is "
                "noise rather than land use: check the model and geoseg:scaling. If it is meant, set tiling.block_px "
                "lower, and polygons.min_area_px (such as 9), so that the specks join their neighbours."
            )
        if regions <= self.max_count:
            return
        remedy = (
            "Cut the scene into smaller ones"
            if self.has_min_area
            else "Set polygons.min_area_px (such as 9): the specks then join their neighbours"
        )
        raise SceneError(
            f"{path}: the class map has more than polygons.max_count={self.max_count} regions, which is noise rather "
            f"than land use: check the model and geoseg:scaling first. {remedy}, or raise polygons.max_count if memory "
            "and disk suffice (about 500 bytes for each)."
        )
