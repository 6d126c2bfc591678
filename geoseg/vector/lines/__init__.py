"""The boundaries of components: arcs, their simplification, and the rings of polygons."""
