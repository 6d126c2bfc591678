"""A bundle: its files, its description, and what may be loaded of it."""
