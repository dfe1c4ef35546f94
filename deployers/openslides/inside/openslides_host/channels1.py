"""Channel layer of OpenSlides 2: Channels 1, asgi_redis."""

import redis
from asgi_redis import core
from twisted.internet.threads import deferToThread

from openslides_host.redis_client import pool


class RedisChannelLayer(core.RedisChannelLayer):
    """asgi_redis', which knows TCP only, and makes ten new connections for each message that daphne waits for."""

    blpop_timeout = 1
    """Seconds. daphne ends when the last wait has."""

    def _generate_connections(self, *args, **kwargs):
        return [redis.Redis(connection_pool=pool())]

    def receive_twisted(self, channels):
        return deferToThread(self.receive, channels, block=True)
