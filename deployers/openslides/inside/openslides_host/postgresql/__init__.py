"""Django's engine for PostgreSQL with a psycopg2 that is newer than it."""
