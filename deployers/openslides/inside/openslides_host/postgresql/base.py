"""Django before 3.1 wants UTC as the offset 0, psycopg2 2.9 gives a timedelta of 0 (psycopg2's news for 2.9)."""

from django.db.backends.postgresql import base
from django.utils.timezone import utc


def utc_tzinfo_factory(offset):
    if offset:
        raise AssertionError("database connection isn't set to UTC")
    return utc


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, whose cursors know both."""

    def create_cursor(self, name=None):
        cursor = super().create_cursor(name)
        if cursor.tzinfo_factory is not None:
            cursor.tzinfo_factory = utc_tzinfo_factory
        return cursor
