"""Collars: pixels along the rim of a scene that belong to no picture, though the file does not say so."""
