"""OpenSlides on a unix socket, in one process and in several."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.observing import wait_for
from tests.openslides.conftest import ITS_PASSWORD, Make, Running
from tests.openslides.hosted import Visitor

RELEASES = ("3.3", "2.3")
STOP_SECONDS = 30
"""Its processes are killed after 2.5 s; a busy machine needs more to notice."""


def cpu_ticks(pid: int) -> int:
    """What a process has used of the processors (proc(5), stat: utime and stime)."""
    fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("release", RELEASES)
def test_every_process_knows_who_has_logged_in(running: Running, release: str) -> None:
    visitor = Visitor(running(release))
    assert visitor.login(password="wrong") == 400
    assert visitor.login() == 200
    assert {visitor.who() for _ in range(12)} == {1}


def test_one_process_of_3_needs_no_redis(make: Make) -> None:
    instance = make("3.3")
    assert instance.redis is None
    instance.start()
    visitor = Visitor(instance)
    assert visitor.login() == 200
    assert visitor.who() == 1
    with visitor.websocket() as stream:
        assert "general_event_name" in stream.message()
    assert len(instance.processes()) == 1
    began = time.monotonic()
    assert instance.stop() == 0
    assert time.monotonic() - began < STOP_SECONDS


@pytest.mark.parametrize("release", RELEASES)
def test_what_one_process_changes_the_others_tell_their_visitors(running: Running, release: str) -> None:
    instance = running(release)
    visitor = Visitor(instance)
    assert visitor.login() == 200
    # More than there are processes, so that one of them is connected to another than the one that changes something.
    with visitor.websocket() as one, visitor.websocket() as two, visitor.websocket() as three:
        streams = (one, two, three)
        for stream in streams:
            assert "general_event_name" in stream.message()
        value = f"changed at {time.monotonic()}"
        path = "/rest/core/config/general_event_location/"
        answer = visitor.put(path, {"value": value})
        assert answer.status == 200, answer.body
        for stream in streams:
            while value not in stream.message():
                pass


def test_several_processes_answer(running: Running) -> None:
    instance = running("3.3")
    assert instance.process is not None
    before = {pid: cpu_ticks(pid) for pid in instance.processes() if pid != instance.process.pid}
    assert len(before) == 3

    def ask() -> None:
        for _ in range(100):
            Visitor(instance).get("/apps/core/servertime/")

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    worked = [pid for pid, ticks in before.items() if cpu_ticks(pid) > ticks + 10]
    assert len(worked) >= 2


@pytest.mark.parametrize("release", RELEASES)
def test_it_stops_in_time_with_a_visitor_connected(make: Make, release: str) -> None:
    instance = make(release, 2)
    instance.start(2)
    assert len(instance.processes()) == 3 + (release == "2.3")
    visitor = Visitor(instance)
    assert visitor.login() == 200
    with visitor.websocket() as stream:
        assert "general_event_name" in stream.message()
        began = time.monotonic()
        assert instance.stop() == 0
        assert time.monotonic() - began < STOP_SECONDS


@pytest.mark.parametrize("release", RELEASES)
def test_when_one_process_dies_all_end_and_a_new_start_works(make: Make, release: str) -> None:
    instance = make(release, 2)
    instance.start(2)
    assert instance.process is not None
    children = sorted(set(instance.processes()) - {instance.process.pid})
    os.kill(children[-1], signal.SIGKILL)
    assert instance.process.wait(120) == 1
    assert not instance.processes()
    assert f"Process {children[-1]} ended, status 9" in instance.log
    instance.start(2)
    assert Visitor(instance).login() == 200


@pytest.mark.parametrize("release", RELEASES)
def test_no_process_outlives_the_one_that_was_started(make: Make, release: str) -> None:
    instance = make(release, 2)
    instance.start(2)
    assert instance.process is not None
    os.kill(instance.process.pid, signal.SIGKILL)
    instance.process.wait()
    wait_for("all have ended", lambda: not instance.processes(), 120)
    # What it left where it listened is in nobody's way.
    assert instance.socket.exists()
    instance.start(2)
    assert Visitor(instance).login() == 200


def test_who_connects_while_processes_start_waits(make: Make) -> None:
    instance = make("3.3", 2)
    starting = threading.Thread(target=instance.start, args=(2,))
    starting.start()
    wait_for("the socket is there", instance.socket.exists, 120, every=0.001)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(120)
        wait_for("it listens", lambda: connection.connect_ex(str(instance.socket)) == 0, 120, every=0.001)
        connection.sendall(b"GET /apps/core/version/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert b" 200 OK" in connection.recv(1000)
    starting.join()


@pytest.mark.parametrize("release", RELEASES)
def test_no_secret_is_in_the_log_or_the_list_of_processes(running: Running, release: str) -> None:
    instance = running(release)
    assert ITS_PASSWORD in (instance.directory / "settings.py").read_text()
    assert ITS_PASSWORD not in instance.log
    assert not [command for command in instance.processes().values() if ITS_PASSWORD in command]
