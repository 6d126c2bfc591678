"""Windows are chosen by uncertainty, in turn over the classes, spread over the ground."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geoseg.grid.window import Grid
from geoseg.labels.choose import choose_windows
from geoseg.labels.uncertainty import SceneWindows

SIDE = 16


def scene_of(name: str, scores: np.ndarray, classes: np.ndarray) -> SceneWindows:
    """Every window of a grid, with these scores and main classes."""
    places = np.argwhere(np.ones(scores.shape, bool))
    grid = Grid(scores.shape[0] * SIDE, scores.shape[1] * SIDE, (1, 0, 0, 0, -1, 0), "EPSG:32632")
    names = tuple(f"class{number}" for number in classes.ravel())
    return SceneWindows(name, grid, SIDE, places, scores.ravel(), names)


@given(
    st.integers(1, 6), st.integers(1, 6), st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32), st.booleans()
)
def test_as_many_as_asked_for_each_once(
    height: int, width: int, count: int, classes: int, seed: int, balanced: bool
) -> None:
    random = np.random.default_rng(seed)
    shape = height, width
    scenes = [scene_of(name, random.random(shape), random.integers(0, classes, shape)) for name in "ab"]
    taken = {scenes[0].key(0), scenes[1].key(height * width - 1)}
    chosen = choose_windows(scenes, count, taken, balanced=balanced)
    assert len(chosen) == len(set(chosen)) == min(count, 2 * height * width - 2)
    assert not taken & {scenes[one.scene].key(one.number) for one in chosen}
    first = scenes[chosen[0].scene] if chosen else None
    if first is not None and not balanced:  # the first choice is free: the most uncertain of all
        free = [score for one in scenes for n, score in enumerate(one.scores) if one.key(n) not in taken]
        assert first.scores[chosen[0].number] == max(free)
    assert chosen == choose_windows(scenes, count, taken, balanced=balanced)


def test_classes_take_turns() -> None:
    random = np.random.default_rng(0)
    classes = (random.random((20, 20)) < 0.1).astype(int)  # a tenth of the windows is of class 1, and more certain
    scores = random.random((20, 20)) * np.where(classes, 0.1, 1)
    scene = scene_of("a", scores, classes)
    counts = Counter(scene.main_classes[one.number] for one in choose_windows([scene], 20, balanced=True))
    assert counts == {"class0": 10, "class1": 10}
    only_score = Counter(scene.main_classes[one.number] for one in choose_windows([scene], 20, balanced=False))
    assert only_score["class0"] == 20


def test_neighbours_of_the_most_uncertain_window_are_left_to_others() -> None:
    scores = np.zeros((20, 20))
    scores[:3, :3] = 0.9  # nine windows of one uncertain place
    scores[10:, 10:] = 0.5
    chosen = choose_windows([scene_of("a", scores, np.zeros((20, 20), int))], 4, balanced=True)
    places = np.array([divmod(one.number, 20) for one in chosen])
    assert (places < 3).all(axis=1).sum() == 1
    gaps = np.abs(places[:, None] - places[None]).max(axis=2) + 99 * np.eye(4, dtype=int)
    assert gaps.min() >= np.sqrt(400 / 4) / 2


def test_all_windows_are_taken_when_there_is_no_room_for_a_distance() -> None:
    scene = scene_of("a", np.arange(9.0).reshape(3, 3), np.zeros((3, 3), int))
    assert {one.number for one in choose_windows([scene], 9, balanced=True)} == set(range(9))


def test_no_window_no_choice() -> None:
    scene = scene_of("a", np.ones((1, 2)), np.zeros((1, 2), int))
    assert choose_windows([scene], 5, {scene.key(0), scene.key(1)}, balanced=True) == []
    assert choose_windows([scene], 0, balanced=True) == []
