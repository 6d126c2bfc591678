"""STAC: the JSON of Items, the documents that hold it, and searches."""
