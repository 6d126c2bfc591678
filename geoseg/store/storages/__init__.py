"""Storages of an output: a local folder or a bucket."""
