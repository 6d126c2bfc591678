"""Reads results back and certifies them."""
