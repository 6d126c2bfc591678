"""Training data: windows of scenes with their labels, and the ground that each split owns."""
