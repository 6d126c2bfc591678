"""Check the quality bands of STAC Items before a run."""

from geoseg.errors import SceneError
from geoseg.quality_settings import QualitySettings
from geoseg.raster.read_source import described
from geoseg.raster.source.scene import Scene
from geoseg.raster.validity.quality_file import check_quality, how_described

ITEMS_LOOKED_AT = 4
"""Opening those of thousands of Items would take longer than a small run."""


def check_quality_assets(scene: Scene, wanted: QualitySettings) -> list[str]:
    """Check that the sources of a scene have the quality band ``wanted.asset``, and what some of them hold.

    Returns:
        Warnings.

    Raises:
        SceneError: If there is none, or it cannot be what was stated.
    """
    composite = scene.composite
    sources = () if composite is None else composite.sources
    without = next((source.name for source in sources if not source.quality), scene.path if not sources else None)
    if composite is None or without is not None:
        raise SceneError(
            f"{without} is no STAC Item, so it has no asset {wanted.asset} (scene.quality.asset). Name its quality "
            "band with scene.quality.file."
        )
    warnings: list[str] = []
    looked_at = {len(sources) * place // ITEMS_LOOKED_AT for place in range(ITEMS_LOOKED_AT)}
    for index in sorted(looked_at):
        for part in sources[index].quality:
            file = described(part, how_described(composite.settings, scene.grid.crs))
            warnings += check_quality(scene, file, part.bands[0], wanted, None)[1]
    # A rule that fits none of them is suspicious; single clear Items are usual.
    return warnings[:1] if len(warnings) == len(looked_at) else []
