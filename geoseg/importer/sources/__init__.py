"""Readers of the files and folders in which other libraries save networks."""
