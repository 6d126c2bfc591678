"""How small areas and holes may be, for all classes or by class."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.not_dissolved import class_of_alias


@dataclass(frozen=True, slots=True)
class LeastPixels:
    """A number of pixels for each class; whatever has fewer is too small."""

    every: int = 1
    """Number of the classes that are not named, at least 1: nothing is too small."""
    named: tuple[tuple[int, int], ...] = ()
    """Pairs of a class id and its number, by class id."""

    @classmethod
    def of(cls, value: "int | Mapping[int, int] | LeastPixels") -> "LeastPixels":
        """One number for all classes, or a number for each class id; 0 is 1."""
        if isinstance(value, LeastPixels):
            return value
        if isinstance(value, Mapping):
            return cls(1, tuple((class_id, max(1, value[class_id])) for class_id in sorted(value)))
        return cls(max(1, value))

    @property
    def is_set(self) -> bool:
        """Whether anything can be too small."""
        return max(self.every, *(pixels for _, pixels in self.named), 1) > 1

    @property
    def plain(self) -> int | dict[str, int]:
        """As in JSON: one number, or class ids with numbers."""
        return {str(class_id): pixels for class_id, pixels in self.named} if self.named else self.every

    @property
    def described(self) -> str:
        """The numbers in words."""
        each = ", ".join(f"{pixels} of class {class_id}" for class_id, pixels in self.named)
        return f"{each or self.every} pixels"

    def for_classes(self, class_id: NDArray[np.uint8], not_dissolved: tuple[int, ...] = ()) -> NDArray[np.int64]:
        """Number for each class id, of any shape; see `geoseg.vector.not_dissolved` for aliases."""
        of_class = np.full(256, self.every, np.int64)
        for one, pixels in self.named:
            of_class[one] = pixels
        return of_class[class_of_alias(not_dissolved)][class_id]


_ALL = LeastPixels()


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest areas and holes that stay; see `geoseg.vector.small.change_small`."""

    area: LeastPixels = _ALL
    """Smallest areas that keep their class, by their class."""
    hole: LeastPixels = _ALL
    """Smallest holes that stay, by the class around them."""
    not_dissolved: tuple[int, ...] = ()
    """Classes with an alias id, see `geoseg.vector.not_dissolved`."""

    @property
    def is_set(self) -> bool:
        """Whether classes can change."""
        return self.area.is_set or self.hole.is_set

    @property
    def described(self) -> str:
        """What can change, in words."""
        limits = {"areas": self.area, "holes": self.hole}
        return " and ".join(f"{name} below {least.described}" for name, least in limits.items() if least.is_set)


NOTHING_SMALL = Smallest()
"""Everything stays."""
