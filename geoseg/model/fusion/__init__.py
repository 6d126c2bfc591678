"""Fuse layers of a network for inference."""
