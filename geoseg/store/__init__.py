"""Durable state of a run: storages, records, lock, commit and manifest."""
