"""One house from its first user on, and what each thing in it costs."""

import base64
import hashlib
import hmac
import http.client
import itertools
import json
import random
import time
from urllib.parse import quote

from clients import CLIENT, Clients, Poller, asked, filtered
from figures import per
from machine import Trouble, cpu_s, folder_bytes, rss_mib, say, wire_bytes
from servers import SECRET, less

# Folds that are patient (search) and PostgreSQL's counters have said everything after so long, seconds.
SETTLED = 12
# A message says so many words, of so many that there are.
WORDS = (25, 2000)
# Rooms in which people talk have so many members, and each such room so many users for it.
TALKERS, USERS_OF_ROOM = 10, 10
# So many people make the rooms in which nobody else is.
MAKERS = 50
# Rooms that wake up: so many of so many members.
SIZED = ((20, 10), (10, 100), (2, 1000))
# Of a table with fewer rows nothing is told: the empty parts of its pages are most of it.
ROWS_MIN = 100
# What is made before messages are sent may take such a part of a house's time.
MAKING = 0.6


def part(text):
    return base64.urlsafe_b64encode(text).rstrip(b"=")


def key_text(size):
    return base64.b64encode(random.randbytes(size)).rstrip(b"=").decode()


def jwt(name):
    """Says who somebody is: what passwords cost to hash is no matter of this benchmark."""
    now = int(time.time())
    said = ({"alg": "HS256", "typ": "JWT"}, {"sub": name, "iat": now, "exp": now + 3600})
    signed = b".".join(part(json.dumps(one).encode()) for one in said)
    return (signed + b"." + part(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest())).decode()


class Trial:
    """See the module's documentation. Rooms are pairs of an ID and the members."""

    def __init__(self, run, house, seconds):
        self.run, self.house, self.figures = run, house, run.figures
        self.ends = time.monotonic() + seconds
        self.clients = Clients(house, run.clients, time.monotonic() + seconds * MAKING)
        self.users, self.devices, self.bare, self.talk, self.sized, self.waiting = [], [], [], [], {}, []
        self.numbers = itertools.count()
        chance = random.Random(1)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.words = ["".join(chance.choices(letters, k=chance.randrange(3, 10))) for _ in range(WORDS[1])]

    def note(self, name, value, unit, digits=3):
        self.figures.note(f"{self.house.name}.{name}", value, unit, digits)

    def go(self):
        house, run = self.house, self.run
        self.note("start_empty_ms", house.start(), "ms", 0)
        # Shards go to the nodes that have come last.
        self.clients.idle(10 if len(house.nodes) > 1 else 5)
        self.note("idle_rss_mib", rss_mib(house.pids) / len(house.nodes), "MiB per node", 1)
        self.people()
        self.clients.pump(self.create(len(self.users) // USERS_OF_ROOM, self.users, self.talk))
        self.step("join", self.fill(self.talk, TALKERS), "rooms")
        for count, size in SIZED:
            if size <= len(self.users):
                rooms = self.sized.setdefault(size, [])
                self.clients.pump(self.create(count, self.users[:1], rooms))
                self.clients.pump(self.fill(rooms, size))
        self.step("room", self.create(run.rooms, self.users[:MAKERS], self.bare), "rooms")
        if not self.talk:
            raise Trouble("no room could be made")
        self.clients.until = self.ends
        rest = self.rest()
        if house.postgres:
            self.register()
        self.converse(rest)
        self.note("busy_rss_mib", rss_mib(house.pids) / len(house.nodes), "MiB per node", 1)
        if len(house.nodes) == 1:
            self.wake()
            if house.postgres:
                self.listen()

    def people(self):
        self.step("user", self.sign_up(), "users")
        if not self.users:
            raise Trouble("nobody could log in")
        self.step("device", self.add_devices(), "users")
        self.step("device_keys", self.upload_keys(), "users")
        self.step("to_device", self.send_to_devices(), "users")

    # What is put through: requests, each with what hears of the answer.

    def sign_up(self):
        for number in range(self.run.users):
            yield self.login(number, self.users)

    def add_devices(self):
        for number in range(len(self.users) // 2):
            yield self.login(number, self.devices)

    def login(self, number, into):
        token = jwt(f"user{number}")
        body = {"type": "org.matrix.login.jwt", "token": token, "initial_device_display_name": "Some client on some telephone"}
        return asked("POST", f"{CLIENT}/login", None, body), into.append

    def upload_keys(self):
        for device in self.devices:
            user, name = device["user_id"], device["device_id"]
            signatures = {user: {f"ed25519:{name}": key_text(64)}}
            identity = {
                "user_id": user,
                "device_id": name,
                "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
                "keys": {f"{kind}:{name}": key_text(32) for kind in ("curve25519", "ed25519")},
                "signatures": signatures,
            }
            single = {f"signed_curve25519:AAAA{number:02}": {"key": key_text(32), "signatures": signatures} for number in range(50)}
            body = {"device_keys": identity, "one_time_keys": single}
            yield asked("POST", f"{CLIENT}/keys/upload", device["access_token"], body), None

    def send_to_devices(self):
        for sender, device in zip(self.users * 4, self.devices * 4):
            ciphertext = {key_text(32): {"type": 1, "body": key_text(450)}}
            content = {"algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": key_text(32), "ciphertext": ciphertext}
            messages = {device["user_id"]: {device["device_id"]: content}}
            path = f"{CLIENT}/sendToDevice/m.room.encrypted/t{next(self.numbers)}"
            yield asked("PUT", path, sender["access_token"], {"messages": messages}), None

    def create(self, count, makers, into):
        for number in range(count):
            maker = makers[number % len(makers)]
            body = {"preset": "public_chat", "name": f"Room number {number}"}
            yield asked("POST", f"{CLIENT}/createRoom", maker["access_token"], body), made_by(maker, into)

    def fill(self, rooms, size):
        """Members for rooms: so many in each, others in the next, as far as there are others."""
        begin = 1
        for room_id, members in rooms:
            maker = members[0]["user_id"]
            for number in range(begin, begin + size - 1):
                user = self.users[number % len(self.users)]
                if user["user_id"] != maker:
                    path = f"{CLIENT}/join/{quote(room_id)}"
                    yield asked("POST", path, user["access_token"], {}), joined_by(user, members)
            begin += size - 1

    def messages(self, count):
        for _ in range(count):
            room_id, members = random.choice(self.talk)
            text = " ".join(random.choices(self.words, k=WORDS[0]))
            path = f"{CLIENT}/rooms/{quote(room_id)}/send/m.room.message/t{next(self.numbers)}"
            yield asked("PUT", path, random.choice(members)["access_token"], {"msgtype": "m.text", "body": text}), None

    def first_syncs(self):
        tokens = {member["user_id"]: member["access_token"] for _, members in self.talk for member in members}
        for token in tokens.values():
            yield asked("GET", f"{CLIENT}/sync?filter={filtered(10)}", token), waits_with(token, self.waiting)

    def visit(self, rooms):
        for room_id, members in rooms:
            yield asked("GET", f"{CLIENT}/rooms/{quote(room_id)}/state/m.room.create", members[0]["access_token"]), None

    # How that is measured.

    def step(self, name, jobs, family):
        """Puts something through, and notes what one of it costs."""
        house = self.house
        logged, before = house.postgres and house.logged()[family], house.look()
        count, took, _ = self.clients.pump(jobs)
        self.clients.idle(1)
        passed = less(house.look(), before)
        say(f"{house.name}: {count} of {name} in {took:.1f} s")
        self.note(f"{name}.cpu_s_per_1000", per(passed["cpu"], count, 1000), "s, all nodes")
        if logged:
            after = house.logged()[family]
            self.note(f"{name}.postgres_cpu_s_per_1000", per(passed["postgres"], count, 1000), "s")
            self.note(f"{name}.wal_bytes", per(passed["wal"], count), "bytes of write-ahead log", 0)
            self.note(f"{name}.disk_bytes", per(passed["disk"], count), "bytes of database, with models and indexes", 0)
            self.note(f"{name}.records", per(after[0] - logged[0], count), f"records in the log of {family}", 2)
            self.note(f"{name}.bytes", per(after[1] - logged[1], count), "bytes of payload in the log", 0)
        return count

    def rest(self):
        """What the house does while nobody wants anything of it: of a second."""
        self.clients.idle(SETTLED)
        before = self.house.look()
        self.clients.idle(self.run.rest)
        passed = less(self.house.look(), before)
        each = {key: value / passed["s"] for key, value in passed.items()}
        nodes = len(self.house.nodes)
        self.note("rest.cpu_ms_per_s", each["cpu"] * 1000 / nodes, "ms per second and node")
        if self.house.postgres:
            self.note("rest.postgres_cpu_ms_per_s", each["postgres"] * 1000 / nodes, "ms per second and node")
            self.note("rest.statements_per_s", each["commits"] / nodes, "1/s per node", 1)
            self.note("rest.writes_per_s", each["writes"] / nodes, "1/s per node", 1)
            self.note("rest.wal_bytes_per_s", each["wal"] / nodes, "bytes per second and node", 0)
        if nodes > 1:
            self.note("rest.wire_bytes_per_s", each["wire"] / nodes, "bytes per second and node", 0)
        return each

    def send(self, name, count, rest):
        """Messages, and what one of them costs when what the house does at rest is taken off: how many, their CPU seconds, and how many were heard."""
        house = self.house
        self.clients.idle(SETTLED)
        heard, logged = self.clients.heard(), house.postgres and house.logged()["rooms"]
        before = house.look()
        count, took, waits = self.clients.pump(self.messages(count))
        self.clients.idle(SETTLED)
        passed = less(house.look(), before)
        own = {key: value - rest[key] * passed["s"] for key, value in passed.items()}
        self.note(f"{name}.per_s", per(count, took), "1/s", 0)
        for permille, percentile in ((500, "p50"), (990, "p99")):
            self.note(f"{name}.{percentile}_ms", waits[len(waits) * permille // 1000] * 1000 if waits else None, "ms", 2)
        self.note(f"{name}.cpu_s_per_1000", per(own["cpu"], count, 1000), "s, all nodes")
        self.note(f"{name}.records_per_commit", per(passed["records"], passed["batches"]), "records", 2)
        if house.postgres:
            self.note(f"{name}.postgres_cpu_s_per_1000", per(own["postgres"], count, 1000), "s")
            self.note(f"{name}.statements_per_1000", per(own["commits"], count, 1000), "transactions", 0)
            self.note(f"{name}.writes_per_1000", per(own["writes"], count, 1000), "transactions that wrote", 0)
            self.note(f"{name}.writes_per_s", per(own["writes"], took), "1/s", 0)
            self.note(f"{name}.wal_bytes", per(own["wal"], count), "bytes of write-ahead log", 0)
            self.note(f"{name}.disk_bytes", per(own["disk"], count), "bytes of database, with models and indexes", 0)
            self.note(f"{name}.bytes", per(house.logged()["rooms"][1] - logged[1], count), "bytes of payload in the log", 0)
        if len(house.nodes) > 1:
            self.note(f"{name}.wire_bytes", per(own["wire"], count), "bytes between nodes", 0)
        return count, own["cpu"], self.clients.heard() - heard

    def converse(self, rest):
        """Messages while nobody listens, then while everybody in their rooms does."""
        alone, cpu, _ = self.send("message", self.run.messages, rest)
        self.step("first_sync", self.first_syncs(), "users")
        self.clients.poll(self.waiting)
        told, with_ears, heard = self.send("message_heard", self.run.messages // 4, rest)
        self.note("message_heard.deliveries", per(heard, told), "deliveries of a message", 2)
        if alone and heard:
            self.note("delivery.cpu_s_per_1000", (with_ears - cpu / alone * told) / heard * 1000, "s")
        weight = self.house.count_of("playhouse_actors_weight_bytes", 'kind="user"')
        awake = self.house.count_of("playhouse_actors_awake", 'kind="user"')
        self.note("user_weight_kib", per(weight / 1024, awake), "KiB that a user counts as", 2)
        self.clients.hang_up()

    def register(self):
        row = self.house.postgres.sql(
            "SELECT (SELECT coalesce(avg(pg_column_size(n.*)), 0) FROM node AS n), "
            "(SELECT coalesce(sum(pg_column_size(p.*)), 0) FROM placement AS p), (SELECT count(*) FROM placement)",
            self.house.name,
        )[0]
        self.note("register.node_bytes", float(row[0]), "bytes of a node in the register", 0)
        self.note("register.placement_bytes", float(row[1]), f"bytes of {row[2]} shards in the register", 0)

    def wake(self):
        """A new start on all of it: how long that takes, and what rooms and users take that wake up then."""
        house = self.house
        house.stop()
        self.sizes()
        rooms = len(self.bare) + len(self.talk) + sum(map(len, self.sized.values()))
        self.note("start_full_ms", house.start(), f"ms, with {rooms} rooms and {len(self.users)} users", 0)
        self.wake_rooms()
        self.clients.idle(3)
        before, awake, weight = rss_mib(house.pids), house.count_of("playhouse_actors_awake", 'kind="room"'), self.room_weight()
        self.clients.pump(self.visit(self.bare))
        self.clients.idle(3)
        woken = house.count_of("playhouse_actors_awake", 'kind="room"') - awake
        self.note("rss_mib_per_1000_rooms", per(rss_mib(house.pids) - before, woken, 1000), "MiB, rooms of one member")
        self.note("room_weight_kib", per((self.room_weight() - weight) / 1024, woken), "KiB that such a room counts as", 2)
        before = rss_mib(house.pids)
        self.clients.poll(self.waiting)
        self.clients.idle(5)
        self.note("rss_mib_per_1000_syncing", per(rss_mib(house.pids) - before, len(self.waiting), 1000), "MiB, users and their open long polls")
        self.clients.hang_up()

    def room_weight(self):
        return self.house.count_of("playhouse_actors_weight_bytes", 'kind="room"')

    def wake_rooms(self):
        """How much longer a question takes whose room sleeps: medians."""
        own = self.users[0]
        line = http.client.HTTPConnection("127.0.0.1", self.house.nodes[0].port, timeout=30)

        def timed(room_id):
            begun = time.monotonic()
            path = f"{CLIENT}/rooms/{quote(room_id)}/state/m.room.create"
            line.request("GET", path, headers={"Authorization": f"Bearer {own['access_token']}"})
            answer = line.getresponse()
            answer.read()
            if answer.status != 200:
                raise Trouble(f"the state of a room: {answer.status}")
            return (time.monotonic() - begun) * 1000

        ours = [room for room in self.bare if room[1][0] is own]
        # The first question wakes the user, too.
        for room_id, _ in ours[:1]:
            timed(room_id)
        for size, rooms in [(1, ours[1:]), *self.sized.items()]:
            cold, warm = (sorted(timed(room_id) for room_id, _ in rooms) for _ in range(2))
            if cold:
                self.note(f"wake_room_{size}_ms", cold[len(cold) // 2] - warm[len(warm) // 2], f"ms, {size} members", 2)
        line.close()

    def listen(self):
        """What it costs a node only to hear what another one writes: it has no shards, and nobody asks it anything."""
        house = self.house
        node = house.add("edge")
        node.start()

        def heard():
            logged = sum(records for records, _ in house.logged().values())
            return {"s": time.monotonic(), "cpu": cpu_s([node.process.pid]), "wire": wire_bytes(house.cluster_ports), "records": logged}

        self.clients.idle(5)
        before = heard()
        self.clients.idle(10)
        rest = less(heard(), before)
        before = heard()
        self.clients.pump(self.messages(self.run.messages))
        self.clients.idle(1)
        passed = less(heard(), before)
        own = {key: value - rest[key] / rest["s"] * passed["s"] for key, value in passed.items()}
        self.note("told.cpu_s_per_1000", per(own["cpu"], passed["records"], 1000), "s, of records of another node")
        self.note("told.wire_bytes", per(own["wire"], passed["records"]), "bytes for each of them", 0)

    def sizes(self):
        """What files and tables take, these with their indexes."""
        postgres, name = self.house.postgres, self.house.name
        if not postgres:
            folder = self.house.nodes[0].folder
            for place in ("log", "snapshots.db", "models.db"):
                self.note(f"disk.{place.split('.')[0]}_mib", sum(map(folder_bytes, folder.glob(f"{place}*"))) / 1048576, "MiB", 1)
            return
        tables = [row[0] for row in postgres.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1", name)]
        asks = [f"SELECT '{table}', count(*), pg_total_relation_size('{table}') FROM {table}" for table in tables]
        for table, rows, size in postgres.sql(" UNION ALL ".join(asks) + " ORDER BY 1", name):
            if int(rows) >= ROWS_MIN:
                self.figures.note(f"table.{table}", int(size) / int(rows), f"bytes of each of {rows} rows", 0)
        for family, (records, size) in self.house.logged().items():
            whole = int(postgres.sql(f"SELECT pg_total_relation_size('log_{family}')", name)[0][0])
            if records >= ROWS_MIN:
                self.figures.note(f"log.{family}.disk_per_payload", per(whole, size), "times the payload", 2)



def made_by(maker, into):
    return lambda made: into.append((made["room_id"], [maker]))


def joined_by(user, members):
    return lambda _joined: members.append(user)


def waits_with(token, into):
    return lambda answer: into.append(Poller(token, answer["next_batch"]))
