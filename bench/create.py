"""From POST to the instance's first HTTP 200, as a multiple of what the same server needs by itself.

    python -m bench.create [ROUNDS]

Starts the product in a directory of its own, prepares OpenSlides 3.3, and then for each round

1. POSTs an instance and asks its address until it answers 200;
2. stops it, starts the very command of its service by hand, and asks until 200.

Prints the median of both and their ratio, and what the idle control plane costs. Ends with 1 when the ratio is
above 3.
"""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

from tests.embedded.product import Product
from tests.observing import processes_of, wait_for

LIMIT = 3.0
AIM = 1.5
IDLE_SECONDS = 30.0


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except (requests.ConnectionError, requests.Timeout):
        return False


def first_answer(url: str) -> float:
    """The moment (time.perf_counter) of the first 200."""
    wait_for(f"an answer of {url}", lambda: answers(url), 60, every=0.005)
    return time.perf_counter()


def created(product: Product, slug: str) -> tuple[str, str, float]:
    """Id, address and seconds from POST to the first 200."""
    began = time.perf_counter()
    identity = product.create(slug, version="3.3")["id"]
    url = wait_for("its address", lambda: product.instance(identity)["url"], 60, every=0.005)
    return identity, url, first_answer(url) - began


def by_itself(product: Product, identity: str, url: str) -> float:
    """Seconds until the first 200 of the instance's own service command, started by hand."""
    product.settled(identity, "active")
    product.patch(identity, attributes={"state": "stopped"})
    product.settled(identity, "stopped")
    conf = configparser.RawConfigParser()
    conf.read(product.data_dir / "supervisor" / "instances.d" / f"{identity}.conf")
    section = conf[next(name for name in conf.sections() if name.startswith("program:"))]
    command = shlex.split(section["command"].replace("%%", "%"))
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return first_answer(url) - began
    finally:
        process.terminate()
        process.wait(20)


def idle_cost(product: Product) -> tuple[float, float]:
    """Resident megabytes of all processes of the product, and the share of one core that they use while idle."""

    def ticks(pid: int) -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    pids = list(processes_of(product.data_dir))
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    before = sum(ticks(pid) for pid in pids)
    time.sleep(IDLE_SECONDS)
    used = (sum(ticks(pid) for pid in pids) - before) / os.sysconf("SC_CLK_TCK")
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, used / IDLE_SECONDS


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    root = Path(tempfile.mkdtemp(prefix="mi-"))
    product = Product(root / "data")
    product.data_dir.mkdir(mode=0o700)
    try:
        product.start()
        product.manage("version", "prepare", "3.3", "--wait")
        megabytes, share = idle_cost(product)
        ours, alone = [], []
        for number in range(rounds):
            identity, url, seconds = created(product, f"bench-{number}")
            ours.append(seconds)
            alone.append(by_itself(product, identity, url))
            product.call("DELETE", f"instances/{identity}", expect=204)
            product.wait_finished(identity)
        ratio = statistics.median(ours) / statistics.median(alone)
        print(f"POST to first 200        {statistics.median(ours):6.3f} s  (median of {rounds}, worst {max(ours):.3f})")
        print(
            f"the same server alone    {statistics.median(alone):6.3f} s  (median of {rounds}, worst {max(alone):.3f})"
        )
        print(f"ratio                    {ratio:6.2f}    (aim {AIM}, limit {LIMIT})")
        print(f"idle control plane       {megabytes:6.0f} MB resident, {share:.2%} of a core")
        return 0 if ratio <= LIMIT else 1
    finally:
        product.stop()
        product.end_leftovers()
        shutil.rmtree(root)


if __name__ == "__main__":
    sys.exit(main())
