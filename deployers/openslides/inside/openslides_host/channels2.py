"""Channel layer of OpenSlides 3: Channels 2, channels_redis, aioredis 1."""

from aioredis import RedisConnection
from aioredis.util import wait_ok
from channels_redis import core
from django.conf import settings


class Connection(RedisConnection):
    """Logs in with a user's name too."""

    def auth(self, password):
        return wait_ok(self.execute("AUTH", settings.HOST_REDIS["username"], password))


def host():
    """How channels_redis' pools connect: arguments of aioredis.create_redis()."""
    account = settings.HOST_REDIS
    return {"address": account["socket"], "password": account["password"], "connection_cls": Connection}


class RedisChannelLayer(core.RedisChannelLayer):
    """channels_redis', with the instance's account."""

    def decode_hosts(self, hosts):
        return [host()]
