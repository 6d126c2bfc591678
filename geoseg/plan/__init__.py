"""What a run will do: survey, checks, sizes and fingerprints, decided before any work."""
