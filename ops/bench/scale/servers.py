"""The houses that are measured, and the database of some of them."""

import http.client
import itertools
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from machine import Trouble, cpu_s, ended_cpu_s, free_port, wire_bytes

SECRET = "a secret of the benchmark, known to nobody else"
# A server ends within so long, seconds.
ENDED = 40


class Postgres:
    """A PostgreSQL of the benchmark's own."""

    def __init__(self, folder):
        self.folder, self.password, self.port, self.pid = folder, os.urandom(18).hex(), free_port(), None
        found = shutil.which("initdb")
        places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True) + [Path(found).parent] * bool(found)
        if not places:
            raise Trouble("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        self.programs = places[0]
        # It refuses to run as root.
        self.user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}

    def start(self):
        folder = self.folder
        folder.mkdir(parents=True)
        (folder / "password").touch(0o600)
        (folder / "password").write_text(self.password)
        if self.user:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        self.run("initdb", "--auth=scram-sha-256", f"--pwfile={folder}/password", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D", self.data)
        options = f"-h 127.0.0.1 -p {self.port} -k '' -c max_connections=300 -c shared_buffers=128MB"
        self.run("pg_ctl", "start", "--wait", "-D", self.data, "-l", f"{folder}/log", "-o", options)
        self.pid = int(Path(f"{self.data}/postmaster.pid").read_text().split()[0])

    def cpu_s(self):
        """How long it has computed, those of its processes that have ended too."""
        return cpu_s([self.pid]) + ended_cpu_s(self.pid)

    @property
    def data(self):
        return f"{self.folder}/data"

    def run(self, program, *words):
        with open(f"{self.folder}.log", "ab") as log:
            done = subprocess.run([self.programs / program, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/", timeout=120, **self.user)
        if done.returncode:
            raise Trouble(f"{program} failed: see {self.folder}.log")

    def ask(self, program, *words):
        there = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        secret = {**os.environ, "PGPASSWORD": self.password}
        done = subprocess.run([self.programs / program, *there, *words], env=secret, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise Trouble(f"{program}: {done.stderr.strip()}")
        return done.stdout

    def sql(self, text, database="postgres"):
        rows = self.ask("psql", "-d", database, "-qtAX", "-F", "\t", "-c", text).splitlines()
        return [row.split("\t") for row in rows]

    def url(self, database):
        return f"postgres://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def limits(self, figures):
        """How many small commits a second this database makes at most."""
        if not (self.programs / "pgbench").exists():
            return
        script = self.folder.parent / "commit.sql"
        script.write_text("INSERT INTO commits (payload) VALUES (repeat('x', 700));\n")
        self.sql("CREATE TABLE commits (id bigserial PRIMARY KEY, payload text)")
        for clients in (1, 8):
            told = self.ask("pgbench", "-n", "-c", str(clients), "-T", "5", "-f", str(script), "postgres")
            tps = re.search(r"tps = ([0-9.]+)", told)
            figures.note(f"machine.commits_per_s_{clients}", float(tps[1]) if tps else None, f"1/s, {clients} connections", 0)
        self.sql("DROP TABLE commits")

    def stop(self):
        if self.pid:
            self.run("pg_ctl", "stop", "--wait", "--timeout=60", "--mode=fast", "-D", self.data)


class Node:
    """A process of Playhouse."""

    def __init__(self, name, folder, binary, settings):
        self.name, self.folder, self.binary, self.settings = name, folder, binary, settings
        self.port, self.process = free_port(), None
        folder.mkdir(parents=True)

    def start(self):
        """Starts it; how long that took, milliseconds, until it serves."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PLAYHOUSE_")}
        own = {"PLAYHOUSE_DATA_DIR": str(self.folder), "PLAYHOUSE_LISTEN": f"127.0.0.1:{self.port}", **self.settings}
        begun = time.monotonic()
        with open(f"{self.folder}.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "run"], env={**clean, **own}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        while time.monotonic() < begun + 60:
            if self.process.poll() is not None:
                break
            try:
                if self.call("/health") == 200:
                    return (time.monotonic() - begun) * 1000
            except OSError:
                pass
            time.sleep(0.002)
        raise Trouble(f"{self.name} does not serve: {Path(f'{self.folder}.log').read_text()[-2000:]}")

    def call(self, path):
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            line.request("GET", path)
            return line.getresponse().status
        finally:
            line.close()

    def figures(self):
        """Its figures for Prometheus, by name and labels."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        line.request("GET", "/metrics")
        text = line.getresponse().read().decode()
        line.close()
        return {name: float(value) for name, value in re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)}

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(ENDED)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class House:
    """Nodes over one database."""

    def __init__(self, name, run, count, postgres=None):
        self.name, self.postgres, self.folder, self.binary = name, postgres, run.dir / name, run.binary
        self.settings = {
            "PLAYHOUSE_SERVER_NAME": "scale.test",
            "PLAYHOUSE_RATE_LIMITS": "off",
            "PLAYHOUSE_FEDERATION_NOTARIES": "",
            "PLAYHOUSE_FEDERATION_LISTEN": "",
            "PLAYHOUSE_LOG": "warn",
            "PLAYHOUSE_LISTEN_WORKERS": "1",
            "PLAYHOUSE_JWT_ENABLED": "true",
            "PLAYHOUSE_JWT_SECRET": SECRET,
        }
        self.cluster_ports, self.nodes = [], []
        if postgres:
            postgres.sql(f"CREATE DATABASE {name}")
            (self.folder / "media").mkdir(parents=True)
            self.settings["PLAYHOUSE_DATABASE"] = postgres.url(name)
            self.settings["PLAYHOUSE_MEDIA_DIR"] = str(self.folder / "media")
            self.settings["PLAYHOUSE_CLUSTER_SECRET"] = SECRET
        for _ in range(count):
            self.add("")

    def add(self, roles):
        """One more node, which is not started yet; without roles it is for everything."""
        name, own = f"n{len(self.nodes) + 1}", {}
        if self.postgres:
            port = free_port()
            self.cluster_ports.append(port)
            own = {"PLAYHOUSE_CLUSTER_NAME": name, "PLAYHOUSE_CLUSTER_LISTEN": f"127.0.0.1:{port}", "PLAYHOUSE_CLUSTER_ROLES": roles}
        node = Node(f"{self.name}-{name}", self.folder / name, self.binary, self.settings | own)
        self.nodes.append(node)
        return node

    @property
    def pids(self):
        return [node.process.pid for node in self.nodes]

    def start(self):
        """Starts all of them; how long the slowest took, milliseconds."""
        return max([node.start() for node in self.nodes])

    def stop(self):
        for node in self.nodes:
            node.stop()

    def count_of(self, name, label=""):
        """A figure of all nodes and all labels that hold a text."""
        every = (node.figures().items() for node in self.nodes)
        return sum(value for key, value in itertools.chain.from_iterable(every) if key.split("{")[0] == name and label in key)

    def cpu_s(self):
        """How long its nodes have computed."""
        return cpu_s(self.pids)

    def look(self):
        """All that is counted, now."""
        now = {"s": time.monotonic(), "cpu": self.cpu_s(), "wire": wire_bytes(self.cluster_ports)}
        now["records"], now["batches"] = (self.count_of(f"playhouse_writer_batch_records_{part}") for part in ("sum", "count"))
        if self.postgres:
            counted = self.postgres.sql(
                "SELECT xact_commit, pg_snapshot_xmax(pg_current_snapshot()), pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'), "
                f"pg_database_size(datname) FROM pg_stat_database WHERE datname = '{self.name}'"
            )[0]
            now |= zip(("commits", "writes", "wal", "disk"), map(float, counted))
            now["postgres"] = self.postgres.cpu_s()
        return now

    def logged(self):
        """Records and bytes of payload in the log, by family."""
        sums = [f"SELECT '{family}', count(*), coalesce(sum(octet_length(payload)), 0) FROM log_{family}" for family in ("rooms", "users", "servers")]
        rows = self.postgres.sql(" UNION ALL ".join(sums), self.name)
        return {family: (int(records), int(size)) for family, records, size in rows}


def less(after, before):
    """What has been counted between two looks."""
    return {key: after[key] - before[key] for key in after}
