"""Benchmarks of time and memory: ``python -m tests.benchmarks [NAME...]`` or ``make bench``."""
