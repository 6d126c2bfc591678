"""What GIS tools open: rasters, polygons and pictures of a finished scene."""
