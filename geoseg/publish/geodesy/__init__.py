"""CRS checks, areas and lengths on the ground, and reprojection of polygons."""
