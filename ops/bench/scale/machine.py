"""What the machine knows of processes, connections and files, and how the benchmark speaks of itself."""

import os
import random
import re
import socket
import subprocess
import sys
from pathlib import Path


class Trouble(Exception):
    """Something that ends the run."""


def say(*words):
    """To whoever waits."""
    print("ops/bench/scale:", *words, file=sys.stderr, flush=True)


def stat_of(pid):
    """What /proc/PID/stat says after the name."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


def descendants(pids):
    """These and all that they have started."""
    children = {}
    for entry in os.listdir("/proc"):
        stat = stat_of(entry) if entry.isdigit() else None
        if stat:
            children.setdefault(int(stat[1]), []).append(int(entry))
    found, waiting = [], list(pids)
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def cpu_s(pids):
    """How long processes and all that they have started have computed, by the scheduler's own count."""
    total = 0
    for pid in descendants(pids):
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[0])
            except (OSError, IndexError):
                pass
    return total / 1e9


def ended_cpu_s(pid):
    """How long those have computed that a process started and that have ended."""
    stat = stat_of(pid)
    return sum(map(int, stat[13:15])) / os.sysconf("SC_CLK_TCK") if stat else 0


def rss_mib(pids):
    """The memory that processes have."""
    total = 0
    for pid in pids:
        total += int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])
    return total / 1024


def wire_bytes(ports):
    """What has gone over the open connections to these ports, both ways."""
    total = 0
    for port in ports:
        told = subprocess.run(["ss", "-tinHO", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
        total += sum(int(count) for count in re.findall(r"bytes_(?:sent|received):(\d+)", told))
    return total


def folder_bytes(place):
    """What a file takes, or all that are in a folder."""
    files = [place] if place.is_file() else place.rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file())


TAKEN = set()


def free_port():
    """Below those that the kernel gives to clients, and not given before."""
    for _ in range(1000):
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            if port not in TAKEN and probe.connect_ex(("127.0.0.1", port)) != 0:
                TAKEN.add(port)
                return port
    raise Trouble("there is no free port")
