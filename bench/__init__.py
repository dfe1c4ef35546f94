"""Benchmarks that print ratios, not seconds: ``make bench``."""
