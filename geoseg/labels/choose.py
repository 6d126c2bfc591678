"""Choose windows: the most uncertain ones, balanced over the classes and spread over the ground."""

import math
from collections import Counter, deque
from collections.abc import Sequence, Set
from typing import NamedTuple

import numpy as np

from geoseg.labels.uncertainty import SceneWindows


class Chosen(NamedTuple):
    """A window by its place in the scenes."""

    scene: int
    number: int


def choose_windows(
    scenes: Sequence[SceneWindows], count: int, taken: Set[str] = frozenset(), *, balanced: bool
) -> list[Chosen]:
    """Choose windows one by one: of the class chosen least often, the most uncertain window that is far from others.

    The distance begins with half of that which ``count`` windows would have if they were spread evenly; it is halved
    when no window is left at it. This avoids the redundant batches of plain uncertainty sampling (Settles 2009, Active
    Learning Literature Survey, section 6.2).

    Args:
        scenes: Windows with their scores.
        count: Number of windows to choose; fewer if there are fewer.
        taken: Keys of windows that are labelled already.
        balanced: Take the classes in turn; otherwise the score alone decides.

    Returns:
        The windows in the order of choice. Equal scores are ordered by scene, row and column.
    """
    queues = _queues(scenes, taken, balanced=balanced)
    near: dict[str, list[Chosen]] = {group: [] for group in queues}
    free = sum(map(len, queues.values()))
    chosen, places, counts = list[Chosen](), [list[tuple[int, int]]() for _ in scenes], Counter[str]()
    distance = math.sqrt(free / count) / 2 if count else 0.0
    while len(chosen) < min(count, free):
        group = min(
            (group for group in queues if queues[group]), key=lambda group: (counts[group], group), default=None
        )
        if group is None:  # all that are left are nearer than this to a chosen one
            distance = distance / 2 if distance >= 1 else 0.0
            queues, near = {group: deque(ones) for group, ones in near.items()}, {group: [] for group in near}
            continue
        one = queues[group].popleft()
        if not _is_far(scenes, places, one, distance):
            near[group].append(one)
            continue
        chosen.append(one)
        counts[group] += 1
        row, col = scenes[one.scene].places[one.number]
        places[one.scene].append((int(row), int(col)))
    return chosen


def _queues(scenes: Sequence[SceneWindows], taken: Set[str], *, balanced: bool) -> dict[str, deque[Chosen]]:
    """Windows of each main class, the most uncertain first."""
    queues = dict[str, list[Chosen]]()
    for index, scene in enumerate(scenes):
        for number in range(len(scene.places)):
            if scene.key(number) not in taken:
                group = scene.main_classes[number] if balanced else ""
                queues.setdefault(group, []).append(Chosen(index, number))
    return {
        group: deque(sorted(ones, key=lambda one: (-scenes[one.scene].scores[one.number], one)))
        for group, ones in queues.items()
    }


def _is_far(
    scenes: Sequence[SceneWindows], places: Sequence[list[tuple[int, int]]], one: Chosen, distance: float
) -> bool:
    """Whether a window is at least this far, in windows, from those chosen in its scene."""
    others = places[one.scene]
    if not others or not distance:
        return True
    gaps = np.abs(np.array(others) - scenes[one.scene].places[one.number])
    return bool(gaps.max(axis=1).min() >= distance)
