"""One running product for all tests of this folder, with the versions that other tests have prepared already."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployers.host import VERSIONS, prepare, version
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
                name = version(release).directory_name
                (data_dir / "versions" / name).symlink_to(VERSIONS / name)
            super().__init__(data_dir, environment)
            made.append(self)

    yield SharedVersions
    left = {}
    for product in made:
        product.stop()
        left.update(product.end_leftovers())
        shutil.rmtree(product.data_dir.parent)
    assert not left, f"Processes outlived the product: {left}"


@pytest.fixture(scope="session")
def product(make_product: type[Product]) -> Product:
    product = make_product()  # type: ignore[call-arg]
    product.start()
    for name in ("3.2", "3.3"):
        product.manage("version", "prepare", name, "--wait", expect=0)
    return product
