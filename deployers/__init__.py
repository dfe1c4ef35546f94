"""Everything that touches a host. Imports nothing of Django's ORM and nothing of ``instances``."""
