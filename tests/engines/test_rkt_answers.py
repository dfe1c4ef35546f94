"""What the real rkt 1.30 printed (rkt_outputs/), read."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployers.engines.rkt_answers import (
    AnswerUnknown,
    RktFailed,
    RktImageRefused,
    advice,
    fetched_hash,
    read_images,
    read_pods,
)
from deployers.services.rkt_unit import stripped

OUTPUTS = Path(__file__).with_name("rkt_outputs")
WEB = "sha512-6cb204a4862dc1913f8002430e10a95a17751db8a1aed2383bc76d461f9df14b"


def printed(name: str) -> str:
    return (OUTPUTS / name).read_text(encoding="utf-8")


def test_an_empty_store_has_no_images() -> None:
    assert read_images(printed("images_of_an_empty_store.json")) == []


def test_images_have_their_full_hash_and_their_name() -> None:
    first, second = read_images(printed("images.json"))
    assert (first.id, first.name) == (WEB, "lab.local/web:1.0.0")
    assert second.name == "lab.local/web:2.0.0"
    assert first.imported < second.imported


def test_a_fetch_tells_the_full_hash() -> None:
    assert fetched_hash(printed("fetch_full.txt")) == WEB


def test_the_progress_of_a_download_is_no_hash() -> None:
    assert fetched_hash(printed("fetch_docker.stderr") + printed("fetch_full.txt")) == WEB
    assert fetched_hash(printed("fetch_docker.stderr")) is None


def test_half_a_hash_is_none() -> None:
    """Without --full, rkt prints 32 digits."""
    assert fetched_hash(WEB[: len("sha512-") + 32] + "\n") is None


def test_a_host_without_pods() -> None:
    assert read_pods(printed("pods_of_an_empty_host.json")) == []


def test_times_are_seconds_whatever_rkt_counts_in() -> None:
    (pod,) = read_pods(printed("pods_with_a_network.json"))
    (app,) = pod.apps
    assert pod.created == 1795399481.0
    assert app.started == pytest.approx(1795399481.931, abs=0.001)


def test_a_running_pod_has_its_address_and_no_exit_code() -> None:
    (pod,) = read_pods(printed("pods_with_a_network.json"))
    assert pod.is_running
    assert pod.addresses == ("172.16.28.2",)
    assert pod.apps[0].exit_code is None


def test_pods_that_never_ran_have_no_start() -> None:
    for pod in read_pods(printed("pods_that_never_ran.json")):
        assert (pod.state, pod.addresses, pod.apps[0].started) == ("prepared", (), None)


def test_exit_codes_of_pods_that_ended() -> None:
    codes = [pod.apps[0].exit_code for pod in read_pods(printed("pods_while_one_starts.json"))]
    assert codes == [9, 0]


@pytest.mark.parametrize("answer", ["", "rkt: unknown command", "{}x", '{"id": "x"}', "[1]"])
def test_what_rkt_1_30_does_not_print_is_said(answer: str) -> None:
    with pytest.raises(AnswerUnknown, match="rkt version"):
        read_images(answer)
    with pytest.raises(AnswerUnknown, match="rkt version"):
        read_pods(answer)


def test_lines_of_the_app_are_as_the_app_wrote_them() -> None:
    lines = (OUTPUTS / "run_host.txt").read_bytes().splitlines(keepends=True)
    assert [stripped(line) for line in lines] == [b"out\n", b"err\n"]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (b"[    0.139277] openslides-5f[6]:   two blanks\r\n", b"  two blanks\n"),
        (b"stage1: warning: something\n", b"stage1: warning: something\n"),
        (b"[5] no line of an app\n", b"[5] no line of an app\n"),
        (b"[ 6472.1] web[6]: [ 6472.1] web[6]: quoted\r\n", b"[ 6472.1] web[6]: quoted\n"),
        (b"\n", b"\n"),
        (b"no end", b"no end"),
    ],
)
def test_only_rkt_s_own_part_of_a_line_goes(line: bytes, wanted: bytes) -> None:
    assert stripped(line) == wanted


COMPLAINTS = [
    ("run: cannot run as unprivileged user", "by root"),
    ("fetch: open /lab/web.aci.asc: no such file or directory", "not signed"),
    ("fetch: signature verification for docker images is not supported (try --insecure-options=image)", "not signed"),
    ("fetch: discovery failed", "no image of that name"),
    ("run: discovery failed", "no image of that name"),
    ("fetch: open /lab/nofile.aci: no such file or directory", "no such file"),
    ('fetch: invalid image string "file:///etc/passwd"', "such a name"),
    ('fetch: Get "http://127.0.0.1:1/x.aci": dial tcp 127.0.0.1:1: connect: connection refused', "cannot be reached"),
    ('fetch: Get "https://127.0.0.1:5077/v2/": http: server gave HTTP response to HTTPS client', "TLS"),
    ("fetch: attempted fallback to API v1 but not supported", "no such image or tag"),
    ('fetch: parse "docker://Bad_Name:!!": invalid port ":!!" after host', "such a name"),
    ("cat-manifest: malformed app string - colon may appear at most once", "such a name"),
    ("run: no image IDs found", "prepare the version again"),
    ('cat-manifest: cannot find aci satisfying name: "nosuch" and labels: [] in the local store', "prepare"),
    ("stage0: error setting up stage1: invalid argument", "overlay"),
    ('config: cannot get configuration: no parser available for configuration of kind "stage1" …', "/etc/rkt"),
    ('Error: Unable to open "/bin/nosuch": No such file or directory', "not in the image"),
    ('run: can\'t execute "/bin/nosuch": no such file or directory', "not in the image"),
    ("Failed to stat /lab/nodir: No such file or directory", "no such file"),
]  # fmt: skip


@pytest.mark.parametrize(("complaint", "word"), COMPLAINTS)
def test_a_complaint_tells_an_operator_what_to_do(complaint: str, word: str) -> None:
    assert word in advice(complaint)
    assert complaint in str(RktFailed(254, complaint))
    assert word in str(RktImageRefused("docker://registry.example.org/x/y:1", complaint))


def test_a_warning_that_comes_each_time_is_no_reason() -> None:
    assert advice('run: group "rkt" not found, will use default gid when rendering images') == ""
