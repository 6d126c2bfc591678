"""Labels for the next training: windows to label, checks of corrections, and one set of many files."""
