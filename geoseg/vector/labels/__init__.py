"""The components of a class map: runs of equal pixels, their labels and sums, and union-find."""
