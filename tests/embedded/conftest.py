"""One running product for all tests of this folder, with the versions that other tests have prepared already."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployers.host import link_version, prepare, version
from tests.embedded.product import Product


@pytest.fixture(scope="session")
def make_product() -> Iterator[type[Product]]:
    """Makes products that share the prepared versions, and ends what is left of them."""
    prepare("3.2", "3.3")
    made: list[Product] = []

    class SharedVersions(Product):
        def __init__(self, environment: dict[str, str] | None = None) -> None:
            # Short, because a unix socket lies in it: its path has 107 bytes at most (unix(7)).
            data_dir = Path(tempfile.mkdtemp(prefix="mi-")) / "data"
            data_dir.mkdir(mode=0o700)
            (data_dir / "versions").mkdir()
            for release in ("3.2", "3.3"):
                link_version(data_dir / "versions" / version(release).directory_name)
            super().__init__(data_dir, environment)
            made.append(self)

    yield SharedVersions
    left = {}
    for product in made:
        left.update(take_away(product))
    assert not left, f"Processes outlived the product: {left}"


def take_away(product: Product) -> dict[int, str]:
    """Stop it and remove its files; the processes that outlived it."""
    if not product.data_dir.exists():
        return {}
    product.stop()
    left = product.end_leftovers()
    shutil.rmtree(product.data_dir.parent)
    return left


@pytest.fixture
def own_product(make_product: type[Product]) -> Iterator[Product]:
    """One for one test, which starts it. It is gone after that: a machine with fewer processes is faster."""
    made = make_product()  # type: ignore[call-arg]
    yield made
    assert not take_away(made)


@pytest.fixture(scope="session")
def product(make_product: type[Product]) -> Product:
    product = make_product()  # type: ignore[call-arg]
    product.start()
    for name in ("3.2", "3.3"):
        product.manage("version", "prepare", name, "--wait", expect=0)
    return product
