"""A running product, its rows, and its host: what chaos is done to, and what it is compared with afterwards."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import Any

import requests

from deployers.layout import EmbeddedLayout
from deployers.services.supervisor_rpc import Rpc
from tests.embedded.openslides import OpenSlides
from tests.embedded.product import PROJECT, Product
from tests.observing import wait_for

ID = re.compile(r"[0-9a-f]{32}")
FINISHED = ("succeeded", "failed", "cancelled")
CONVERGENCE_SECONDS = 90


class Fleet:
    """One product with its instances."""

    def __init__(self, product: Product) -> None:
        self.product = product
        environment = {**product.environment, "DJANGO_SETTINGS_MODULE": "multiinstance.settings"}
        # No message of the zygote's children reaches the real worker: it must find the operation by itself.
        environment |= {"BROKER_URL": "memory://", "OPERATIONS_AT_ONCE": "100"}
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.zygote"],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()

    @property
    def zygote(self) -> int:
        """Its process id."""
        return self._zygote.pid

    def close(self) -> None:
        assert self._zygote.stdin is not None
        self._zygote.stdin.close()
        self._zygote.wait(30)

    def die(self, **wanted: Any) -> dict[str, Any]:
        """Let a worker begin an operation and be killed in it; what the zygote answers."""
        with self._lock:
            assert self._zygote.stdin is not None
            assert self._zygote.stdout is not None
            self._zygote.stdin.write(json.dumps(wanted) + "\n")
            self._zygote.stdin.flush()
            told: dict[str, Any] = json.loads(self._zygote.stdout.readline())
        return told

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """From the control plane's database."""
        with closing(sqlite3.connect(f"file:{self.product.data_dir}/db.sqlite3?mode=ro", uri=True, timeout=20)) as rows:
            return rows.execute(query, values).fetchall()

    def outcome(self, operation: int) -> str:
        """Once the operation has ended: its status."""

        def look() -> str | None:
            ((status,),) = self.rows("SELECT status FROM instances_operation WHERE id = ?", operation)
            return status if status in FINISHED else None

        return wait_for(f"the end of operation {operation}", look, CONVERGENCE_SECONDS)

    def converged(self, instance: str, state: str) -> None:
        """Once nothing of the instance is unfinished and it is in that state ("gone": removed)."""

        def look() -> bool:
            found = self.rows(
                "SELECT observed_state, removed_at, (SELECT count(*) FROM instances_operation o WHERE "
                "o.instance_id = i.id AND status IN ('queued', 'running')) FROM instances_instance i WHERE id = ?",
                instance,
            )
            if not found:
                return state == "gone"
            ((observed, removed, unfinished),) = found
            return not unfinished and (removed is not None if state == "gone" else observed == state)

        wait_for(f"{instance} {state}", look, CONVERGENCE_SECONDS)

    def backups(self, instance: str) -> list[int]:
        """The complete ones, the newest last."""
        query = "SELECT id FROM instances_backup WHERE instance_id = ? AND completed_at IS NOT NULL ORDER BY id"
        return [number for (number,) in self.rows(query, instance)]

    def session(self, instance: str) -> OpenSlides:
        """Logged in, as soon as it answers."""
        attributes = self.product.instance(instance)
        openslides = OpenSlides(attributes["url"])
        password = self.password(instance)

        def look() -> bool:
            try:
                return openslides.login("admin", password) == 200
            except requests.RequestException:
                return False

        wait_for(f"the log-in to {instance}", look, CONVERGENCE_SECONDS, every=0.2)
        return openslides

    def password(self, instance: str) -> str:
        found = self.product.call("GET", f"instances/{instance}", expect=200)
        return str(found["data"]["attributes"]["superadmin_password"])

    def topics(self, instance: str) -> list[str]:
        return [str(topic["title"]) for topic in self.session(instance).get("/rest/topics/topic/")]

    def write(self, instance: str, title: str) -> None:
        self.session(instance).post("/rest/topics/topic/", {"title": title})

    def create(self, slug: str, version: str = "3.3") -> str:
        """A new instance that answers, with a topic "written"."""
        made = self.product.create(slug, version)
        self.converged(made["id"], "active")
        self.write(made["id"], "written")
        return str(made["id"])

    def leaks(self) -> set[str]:
        """What is on the host and belongs to no row, and the other way round; looked at until it is steady."""
        deadline = time.monotonic() + 20
        while True:
            found = self._leaks()
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.5)

    def _leaks(self) -> set[str]:
        layout = EmbeddedLayout(self.product.data_dir)
        installed = "SELECT id FROM instances_instance WHERE removed_at IS NULL AND installed_at IS NOT NULL"
        present = {number for (number,) in self.rows(installed)}
        directories = {path.name for path in (layout.data_dir / "instances").iterdir()}
        services = {path.stem for path in layout.supervisor_instances.glob("*.conf")}
        with Rpc(layout.supervisor_socket, 10) as rpc:
            processes: Any = rpc.call("getAllProcessInfo")
        programs = {match[0] for process in processes if (match := ID.search(str(process["name"]))) is not None}
        kept = {name for (name,) in self.rows("SELECT name FROM instances_backup WHERE completed_at IS NOT NULL")}
        folder = layout.data_dir / "backups"
        archives = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        found = {f"directory {name}" for name in directories ^ present}
        found |= {f"service {name}" for name in services ^ present}
        found |= {f"program {name}" for name in programs ^ present}
        found |= {f"archive {name}" for name in archives ^ (kept | {f"{name}.json" for name in kept})}
        drafts = {path.name for path in (layout.data_dir / "instances").glob("*/data/*.draft")}
        drafts |= {str(path) for path in (layout.data_dir / "instances").glob("*/staging")}
        return found | {f"draft {name}" for name in drafts}
