"""The executor on a Ray cluster. The only package, beside `geoseg/train/loop.py`, that imports ray."""
