"""The plain functions that do the work of a block and of a scene. They know nothing of Ray."""
