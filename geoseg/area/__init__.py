"""The area of interest of a run: read from a file or a bbox, and placed on the grid of each scene."""
