"""OpenSlides 3's element cache and its locks, kept under the instance's prefix."""

import functools

from django.apps import AppConfig

from openslides_host.redis_client import ELEMENTS, LOCK, name


async def clear_cache(self):
    """OpenSlides' own deletes every key of the server."""
    from openslides.utils.redis import get_connection

    async with get_connection() as redis:
        await redis.delete(*[name(key) for key in ELEMENTS])


def knowing_redis_7(evaluate):
    """Redis 7 puts ERR before an error that has no code, by which OpenSlides learns that the cache is empty."""

    @functools.wraps(evaluate)
    async def wrapped(*args, **kwargs):
        from aioredis import ReplyError
        from openslides.utils.cache_providers import CacheReset

        try:
            return await evaluate(*args, **kwargs)
        except ReplyError as error:
            if str(error) == "ERR cache_reset":
                raise CacheReset() from error
            raise

    return wrapped


class Elements(AppConfig):
    """Looked up by OpenSlides at each use, so it is enough to be there before the first."""

    name = "openslides_host"
    verbose_name = "Element cache in Redis"

    def ready(self):
        from openslides.utils import redis
        from openslides.utils.cache_providers import RedisCacheProvider
        from openslides.utils.locking import RedisLockProvider

        from openslides_host.channels2 import host

        redis.pool.host = host()
        for key in ELEMENTS:
            setattr(RedisCacheProvider, f"{key}_cache_key", name(key))
        RedisCacheProvider.clear_cache = clear_cache
        RedisCacheProvider.eval = knowing_redis_7(RedisCacheProvider.eval)
        RedisLockProvider.lock_prefix = name(LOCK)
