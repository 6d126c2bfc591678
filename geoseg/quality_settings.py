"""The settings of a quality band."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from geoseg.setting_types import Bits, Text, Values, Whole


class QualitySettings(BaseModel):
    """A band that tells which pixels are cloud, shadow or fill: one of preset, invalid and bits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Annotated[Text, Field(min_length=1)] | None = None
    """FILE, FILE#BAND, or #BAND of the scene itself; relative to the scene, with {stem} or * for one file each."""
    asset: Annotated[Text, Field(min_length=1)] | None = None
    """Key of an asset, or name of a band, that every STAC Item has, such as scl or qa_pixel; instead of a file."""
    preset: Literal["s2-scl", "landsat-qa"] | None = None
    """Sentinel-2's scene classification, or QA_PIXEL of Landsat."""
    invalid: Values = ()
    """Values of pixels that are not valid."""
    bits: Bits = ()
    """Bits, from 0, of pixels that are not valid if any is set."""
    grow_px: Annotated[Whole, Field(le=1000)] = 0
    """Pixels within this distance of one that is not valid are not valid either."""

    @model_validator(mode="after")
    def _one_rule(self) -> "QualitySettings":
        rules = (self.preset is not None) + bool(self.invalid) + bool(self.bits)
        if rules != 1 or (self.file is None) == (self.asset is None):
            raise ValueError("a section with a file or an asset, and one of preset, invalid and bits")
        return self
