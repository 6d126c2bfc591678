"""What geoseg costs: ``python -m tests.benchmarks [NAME...]`` or ``make bench``."""
