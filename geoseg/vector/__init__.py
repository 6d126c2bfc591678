"""Class map to polygons: numpy, numba and shapely; no files, no rasterio, no ray."""
