"""Rasters that geoseg makes: written as COGs, and class maps read again."""
