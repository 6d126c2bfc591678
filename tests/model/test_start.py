"""How many patches go through the network at a time."""

import pytest

from geoseg.model.start import BATCH_PIXELS, choose_batch


@pytest.mark.parametrize(
    ("patch_px", "limit_bytes", "expected"),
    [
        (512, 1e12, 16),  # more would be of no use
        (256, 1e12, 64),
        (512, 5e9, 4),  # more do not fit
        (512, 1e6, 1),  # one is tried in any case, and fails by itself if it does not fit
        (3000, 1e12, 1),
    ],
)
def test_row66_a_batch_is_the_most_that_is_of_use_and_fits(patch_px: int, limit_bytes: float, expected: int) -> None:
    asked = []

    def measure(count: int) -> int:
        asked.append(count)
        return 10**9 * count

    assert choose_batch(patch_px, limit_bytes, measure) == expected
    assert all(count * patch_px**2 <= BATCH_PIXELS for count in asked), "nothing is tried that would not be used"
