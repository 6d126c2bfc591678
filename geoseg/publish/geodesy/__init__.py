"""Positions, areas and lengths on the ground, and polygons in another CRS."""
