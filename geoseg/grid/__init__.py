"""Index arithmetic and blending: numpy and the standard library only."""
