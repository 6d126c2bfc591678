"""Polygonize class rasters of any integer values: arrays in memory, and files of any size."""
