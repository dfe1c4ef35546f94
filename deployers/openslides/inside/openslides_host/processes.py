"""Several processes that live and die together."""

import ctypes
import gc
import os
import signal
import sys
import traceback

STOP_SECONDS = 2.5
PR_SET_PDEATHSIG = 1
STOPPING = (signal.SIGTERM, signal.SIGINT)


def run_first(job):
    """Run ``job`` in a process, to its end. Raises SystemExit if it fails."""
    pid = _start(job)
    status = os.waitpid(pid, 0)[1]
    if status:
        sys.exit("The first process failed, status " + str(status))


def run(jobs):
    """Run each of ``jobs`` in a process of its own; the exit code.

    SIGTERM is passed on. When one process ends, all end: whoever started this starts all anew. No process outlives
    this one, however it ends.
    """
    # What is there already is not looked at by the collector, so the processes go on sharing it.
    if hasattr(gc, "freeze"):
        gc.collect()
        gc.freeze()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    running = {_start(job) for job in jobs}
    asked = []
    stopping = []

    def send(number):
        for pid in running:
            os.kill(pid, number)

    def stop(number, frame):
        if number is not None:
            asked.append(number)
        stopping.append(number)
        send(signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, STOP_SECONDS)

    for number in STOPPING:
        signal.signal(number, stop)
    signal.signal(signal.SIGALRM, lambda number, frame: send(signal.SIGKILL))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    while running:
        # The handlers run in between (PEP 475), and must not meet a process that is waited for already.
        pid = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT).si_pid
        ours = pid in running
        running.discard(pid)
        status = os.waitpid(pid, 0)[1]
        if ours and not stopping:
            sys.stderr.write(" ".join(("Process", str(pid), "ended, status", str(status) + ": all are stopped.\n")))
            stop(None, None)
    return 0 if asked else 1


def _start(job):
    """The id of a new process that does ``job``."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _be_child(job, parent)
    return pid


def _be_child(job, parent):
    """Never returns."""
    code = 1
    try:
        # prctl(2): killed when the parent dies.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() == parent:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            job()
            code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(bool(error.code))
    except BaseException:
        traceback.print_exc()
    finally:
        # daphne's threads wait for an event loop that has ended, so Python is not asked to wait for them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
