"""Class rasters of any values to polygons: on arrays in memory and on files of any size."""
