"""A bundle: its files, its description, and the checks before it is loaded."""
