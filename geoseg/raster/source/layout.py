"""Cost of reading a window, given a file's internal tiles or strips."""

from geoseg.errors import SceneError
from geoseg.raster.source.scene import Scene

TYPICAL_READ_PX = 1024
"""Side of the window for which the cost is computed."""
HIGH_AMPLIFICATION = 4
MAX_AMPLIFICATION = 100
"""Above this a scene is refused: a run would decode the same rows many times."""


def read_amplification(scene: Scene) -> float:
    """Decoded pixels per pixel of a typical window; 1 is best."""
    decoded = needed = 1
    for size, block in zip(scene.grid.window.shape, scene.block_shape, strict=True):
        side = min(size, TYPICAL_READ_PX)
        needed *= side
        decoded *= min(size, -(-side // block) * block)
    return decoded / needed


def check_layout(scene: Scene, *, force: bool) -> list[str]:
    """Check the read amplification of the file's layout.

    Args:
        scene: The scene.
        force: Warn instead of refusing the scene.

    Returns:
        A warning, or nothing.

    Raises:
        SceneError: If the read amplification is above `MAX_AMPLIFICATION`.
    """
    times = read_amplification(scene)
    if times <= HIGH_AMPLIFICATION:
        return []
    height, width = scene.block_shape
    text = (
        f"{scene.path}: it is stored in pieces of {height} x {width} pixels, so reading a window of {TYPICAL_READ_PX} "
        f"pixels decodes {times:.0f} times its pixels. Convert it first: gdal_translate -of COG IN OUT."
    )
    if times > MAX_AMPLIFICATION and not force:
        raise SceneError(f"{text} At most {MAX_AMPLIFICATION} times is accepted, unless scene.force_layout is set.")
    return [text]
