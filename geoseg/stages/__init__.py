"""The plain functions that do the work of a block and of a scene. None of them imports Ray."""
