"""The instance's account in Redis, for clients that know a password only.

Redis has names of users since 6.0 (redis.io, "ACL"), redis-py 2.10 is older. Everything goes through the settings'
HOST_REDIS, which has the socket, the account, and what all names of keys must begin with.
"""

import redis
from django.conf import settings
from django_redis.pool import ConnectionFactory as DjangoRedisFactory
from redis.connection import UnixDomainSocketConnection
from redis.exceptions import AuthenticationError

ELEMENTS = ("full_data", "change_id", "schema")
"""What OpenSlides 3 calls the keys of its element cache (utils.cache_providers)."""
LOCK = "lock_"
BUILDING = LOCK + "build_cache"
CACHED = "cached"
"""The key of the names of all keys that Django's cache was asked for."""

_pool = None
_cached = set()


class Connection(UnixDomainSocketConnection):
    """Logs in with a user's name too."""

    def __init__(self, username, password, **kwargs):
        super().__init__(**kwargs)
        self._account = (username, password)

    def on_connect(self):
        super().on_connect()
        self.send_command("AUTH", *self._account)
        if self.read_response() not in (b"OK", "OK"):
            raise AuthenticationError("Redis does not know the instance's account.")


def pool():
    """One for the process; redis-py makes new connections after a fork."""
    global _pool
    if _pool is None:
        account = settings.HOST_REDIS
        _pool = redis.ConnectionPool(
            connection_class=Connection,
            path=account["socket"],
            username=account["username"],
            password=account["password"],
        )
    return _pool


class ConnectionFactory(DjangoRedisFactory):
    """For django-redis' setting DJANGO_REDIS_CONNECTION_FACTORY."""

    def get_connection_pool(self, params):
        return pool()


def name(key):
    """The name of a key of this instance."""
    return settings.HOST_REDIS["prefix"] + key


def cached_name(key, prefix, version):
    """Django's KEY_FUNCTION: like its own, and it remembers the name for :func:`forget_cache`.

    An account that could ask Redis for the names of keys would get those of other instances as well.
    """
    made = name(":".join((prefix, str(version), key)))
    if made not in _cached:
        redis.StrictRedis(connection_pool=pool()).sadd(name(CACHED), made)
        _cached.add(made)
    return made


def session_name(key, prefix, version):
    """Django's KEY_FUNCTION for sessions, which outlive the processes."""
    return name(":".join((prefix, key)))


def forget_cache():
    """Forget what OpenSlides remembers of its database, which may be another one by now.

    For the start, while no other process of the instance runs. A lock that is still there is one of a process that
    was killed, and all others would wait for it.
    """
    client = redis.StrictRedis(connection_pool=pool())
    client.delete(name(BUILDING), *[name(key) for key in ELEMENTS])
    names = list(client.smembers(name(CACHED)))
    for first in range(0, len(names), 1000):
        client.delete(*names[first : first + 1000])
    client.delete(name(CACHED))
