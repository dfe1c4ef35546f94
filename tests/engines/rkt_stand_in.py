#!/usr/bin/python3 -IS
"""NOT rkt: stands in for it where a test is about the units. It writes down how it was called, answers from files, and
runs what a pod would run as the pod's user, without any pod. What rkt itself does is proven by nothing here.

In /var/lib/rkt-stand-in: calls (a JSON list a line), images.json and manifest.json (what it answers), coming.json (the
images that come into the store during a fetch), running/ (locked by pods that run).
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys

HOME = "/var/lib/rkt-stand-in"


def answer(file):
    with open(f"{HOME}/{file}", encoding="utf-8") as stream:
        sys.stdout.write(stream.read())


def options_in(argv):
    return dict(word.removeprefix("--").split("=", 1) for word in argv if word.startswith("--") and "=" in word)


def lock_of(uuid_file):
    os.makedirs(f"{HOME}/running", exist_ok=True)
    return open(f"{HOME}/running/{os.path.basename(uuid_file)}", "w", encoding="utf-8")


def is_running(uuid_file):
    with lock_of(uuid_file) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def run(argv):
    options = options_in(argv)
    lock = lock_of(options["uuid-file-save"])
    fcntl.flock(lock, fcntl.LOCK_EX)
    variables = [word.removeprefix("--set-env=") for word in argv if word.startswith("--set-env=")]
    with open(options["uuid-file-save"], "w", encoding="utf-8") as stream:
        stream.write("0774c3f6-31de-4c46-8128-c0689a9880c8")
    end = argv.index("--")
    command = [argv[end - 1], *argv[end + 1 :]]
    prefix = ["setpriv", f"--reuid={options['user']}", f"--regid={options['group']}", "--clear-groups", "env", "-i"]
    app = subprocess.Popen(
        [*prefix, "PATH=/usr/bin:/bin", *variables, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    signal.signal(signal.SIGTERM, lambda number, frame: app.terminate())
    if address := os.environ.get("NOTIFY_SOCKET"):
        # As nspawn does: READY when the app is started, whether it answers or not.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", address)
    for line in app.stdout:
        sys.stdout.write(f"[ 6472.139277] {options['name']}[6]: {line.rstrip()}\r\n")
        sys.stdout.flush()
    code = app.wait()
    return 0 if code == -signal.SIGTERM else code


def main(argv):
    refused = argv[0] == "rm" and is_running(options_in(argv)["uuid-file"])
    with open(f"{HOME}/calls", "a", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write(json.dumps([*argv, f"uid={os.getuid()}", *(["running"] if refused else [])]) + "\n")
    if refused:
        sys.stderr.write("rm: failed to remove one or more pods\n")
        return 254
    if argv[:2] == ["image", "list"]:
        answer("images.json")
    elif argv[:2] == ["image", "cat-manifest"]:
        answer("manifest.json")
    elif argv[:2] == ["image", "rm"]:
        with open(f"{HOME}/images.json", "r+", encoding="utf-8") as stream:
            left = [image for image in json.load(stream) if image["id"] != argv[2]]
            stream.seek(0)
            stream.write(json.dumps(left or None))
            stream.truncate()
    elif argv[0] == "list":
        answer("pods.json")
        sys.stderr.write("list: 1 error(s) encountered when listing pods:\n")
    elif argv[0] == "fetch":
        if "nosuch" in argv[-1]:
            sys.stderr.write("fetch: attempted fallback to API v1 but not supported\n")
            return 254
        sys.stderr.write("Downloading sha256:936bee7d7e4 1.08 MB / 1.08 MB\n")
        with open(f"{HOME}/images.json", "r+", encoding="utf-8") as stream:
            images = json.load(stream)
            sys.stdout.write(images[-1]["id"] + "\n")
            if os.path.exists(f"{HOME}/coming.json"):
                with open(f"{HOME}/coming.json", encoding="utf-8") as coming:
                    images += json.load(coming)
                stream.seek(0)
                stream.write(json.dumps(images))
    elif argv[0] == "run":
        return run(argv)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
