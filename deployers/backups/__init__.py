"""Backups: one archive of an instance's database, media and settings, and where archives are kept."""
