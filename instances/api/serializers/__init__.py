"""Rows as resources, one file for each type."""
