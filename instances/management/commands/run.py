"""``manage.py run``: the product on this machine, in the foreground. ``make run`` calls it."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from deployers.errors import DeployError
from deployers.services.supervisor_conf import Program, write_supervisord_conf
from instances import first_run, history
from instances.models import Host, Instance


class Command(BaseCommand):
    help = "Run web, worker and beat, and the instances, on this machine. Ctrl-C stops all of it."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--bare",
            action="store_true",
            help="Register no host, domain and versions at the first run: for your own set-up.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        data_dir = Path(settings.DATA_DIR)
        os.umask(0o077)  # the database holds passwords
        self.refuse_second_run(data_dir)
        self.refuse_taken_port()
        self.check()
        self.say("Bringing the database up to date …")
        try:
            self.call("migrate", interactive=False)
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be used: {str(error).strip().splitlines()[0]}. "
                "Does it run? Does DATABASE_URL name the right one?"
            ) from error
        self.call("collectstatic", interactive=False)
        # What was seen before this start is not true any more: nothing runs, and nobody has looked meanwhile.
        for host in Host.objects.filter(name=first_run.HOST):
            history.note_silence(host, Instance.objects.present().filter(host=host))
            Host.objects.filter(pk=host.pk).update(last_seen=None)
        account = first_run.make_account()
        if not options["bare"]:
            first_run.register()
        try:
            write_supervisord_conf(data_dir, self.programs())
        except DeployError as error:
            raise CommandError(str(error)) from error
        address = f"http://{settings.BIND}:{settings.PORT}/admin/"
        if account is not None and account.password:
            self.say(f"\n    {account.username} / {account.password}\n")
            self.say(f"is your account. The password is shown this once and kept in {account.file}\n")
        elif account is not None:
            self.say(f"Your account is {account.username}, with the password that you chose.")
        elif first_run.password_file().exists():
            self.say(f"The password of admin from the first run: {first_run.password_file()}")
        self.say("Starting …")
        sys.stdout.flush()
        os.environ.pop("ADMIN_PASSWORD", None)  # nothing that is started from here on needs it
        # In this process's place: from here on nothing needs Django.
        os.execv(  # noqa: S606 - our own module
            sys.executable, [sys.executable, "-m", "multiinstance.foreground", str(data_dir), address]
        )

    def call(self, command: str, **options: Any) -> None:
        call_command(command, verbosity=0, **options)

    def say(self, text: str) -> None:
        self.stdout.write(text)

    def refuse_second_run(self, data_dir: Path) -> None:
        """The lock lasts as long as the process, also across exec."""
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(data_dir / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CommandError(
                f"DATA_DIR ({data_dir}) cannot be written: {error.strerror}. Choose another: DATA_DIR=/path make run"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"It runs already on {data_dir}. Stop that one with Ctrl-C, or use another directory: "
                "DATA_DIR=/path PORT=5001 make run"
            ) from None
        os.set_inheritable(lock, True)

    def refuse_taken_port(self) -> None:
        family = socket.AF_INET6 if ":" in settings.BIND else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.BIND, settings.PORT))
            except OSError as error:
                raise CommandError(
                    f"Port {settings.PORT} on {settings.BIND} cannot be used: {error.strerror}. "
                    f"Choose another: PORT={settings.PORT + 1} make run"
                ) from error

    def programs(self) -> list[Program]:
        """web, worker and beat."""
        python = sys.executable
        here = str(settings.BASE_DIR)
        env = {
            "PYTHONPATH": here,
            "DJANGO_SETTINGS_MODULE": "multiinstance.settings",
            "DATA_DIR": str(settings.DATA_DIR),
            # mallopt(3): a password hash takes 19 MiB, which goes back to the system afterwards and is not kept by each
            # thread of the web process.
            "MALLOC_MMAP_THRESHOLD_": "1048576",
        }
        celery = [python, "-m", "celery", "-A", "multiinstance", "--workdir", here]
        bind = f"[{settings.BIND}]:{settings.PORT}" if ":" in settings.BIND else f"{settings.BIND}:{settings.PORT}"
        return [
            Program(
                "web",
                [
                    python, "-m", "gunicorn", "multiinstance.wsgi", "--chdir", here, "--bind", bind,
                    "--worker-class", "gthread", "--workers", "1", "--threads", str(settings.WEB_THREADS),
                    "--timeout", "60", "--graceful-timeout", "5", "--log-level", "warning",
                ],
                env,
                stopwaitsecs=8,
            ),
            Program(
                "worker",
                [
                    *celery, "worker", "--pool", "threads", "--concurrency", str(settings.WORKER_THREADS),
                    "--queues", f"control,host.{first_run.HOST}", "--loglevel", "WARNING",
                    "--without-gossip", "--without-mingle", "--without-heartbeat",
                ],
                env,
                stopwaitsecs=15,
            ),
            Program("beat", [*celery, "beat", "--loglevel", "WARNING", "--pidfile", "", "--max-interval", "1"], env),
        ]  # fmt: skip
