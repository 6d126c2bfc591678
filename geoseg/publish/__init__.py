"""Output files of a scene: rasters, polygons and the preview picture."""
