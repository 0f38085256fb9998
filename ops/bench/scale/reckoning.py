"""What servers of some sizes need, by the constants and assumptions that stand in the tables of a page (ops/docs/scale.md, which tells the formulas).

A row of a table whose first cell is a name in backquotes gives it a value: the last cell that is a number. So what was measured counts, and as long as nothing
was, what it is taken for.
"""

import math
import re
from collections import namedtuple

SIZES = (10_000, 1_000_000, 10_000_000)
DAY_S = 86_400
MARKS = ("<!-- reckoned by ops/bench/scale/reckon -->", "<!-- end of what is reckoned -->")
NODES_MAX = 10_000

Size = namedtuple("Size", "users messages others records deliveries memory_mib base_cores told_cores nodes databases")


def values_of(text):
    """The values that the tables of a page give to names."""
    values = {}
    for line in text.splitlines():
        named = re.match(r"\| `([^`]+)` \|(.*)\|$", line)
        numbers = re.findall(r"\|\s*(-?[0-9][0-9,.]*)\s*(?=\|)", line) if named else []
        if numbers:
            values[named[1]] = float(numbers[-1].replace(",", ""))
    return values


def size_of(users, given):
    """What a house of so many users does in its busiest hour, of a second, and what it needs for it."""

    def peak(name):
        return users * given["users.active"] * given[name] * given["day.peak"] / DAY_S

    messages, receipts, to_device, other = map(peak, ("day.messages", "day.receipts", "day.to_device", "day.other"))
    # A message to a device is two records: that it was sent, and that it waits.
    others, records = receipts + to_device + other, messages + receipts + 2 * to_device + other
    deliveries = messages * given["message.hearers"]
    connected = users * given["users.connected"]
    memory_mib = connected * given["sqlite.rss_mib_per_1000_syncing"] / 1000
    memory_mib += users * given["users.rooms"] / given["room.members"] * given["rooms.awake"] * given["sqlite.rss_mib_per_1000_rooms"] / 1000
    # Seconds of a core for all that happens in a second, first as if one node did all of it.
    base = messages * given["one.message.cpu_s_per_1000"] + deliveries * given["one.delivery.cpu_s_per_1000"]
    base += others * given["one.to_device.cpu_s_per_1000"]
    base_cores, handed, told = base / 1000, (messages + others) * handed_s(given), records * given["one.told.cpu_s_per_1000"] / 1000

    def is_enough(nodes):
        # A record is taken in by every node that has not written it, and most requests come to a node that hands them on.
        cores = base_cores + handed * (nodes - 1) / nodes + told * (nodes - 1)
        fits = cores <= nodes * given["node.cores"] and memory_mib / nodes + given["one.idle_rss_mib"] <= given["node.memory_mib"]
        return fits and connected <= nodes * given["node.connections"]

    nodes = next((count for count in range(1, NODES_MAX) if is_enough(count)), None)
    postgres = messages * given["one.message.postgres_cpu_s_per_1000"] + others * given["one.to_device.postgres_cpu_s_per_1000"]
    databases = max(1, math.ceil(postgres / 1000 / given["database.cores"]))
    return Size(users, messages, others, records, deliveries, memory_mib, base_cores, told, nodes, databases)


def handed_s(given):
    """What it costs to hand a request on, seconds: what a message costs more on three nodes, less that two hear of it. Two of three were handed on."""
    more = given["three.message.cpu_s_per_1000"] - given["one.message.cpu_s_per_1000"] - 2 * given["one.told.cpu_s_per_1000"]
    return max(more, 0) * 1.5 / 1000


def amount(value):
    """A number that can be read."""
    if isinstance(value, int) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def lines_of(size, given):
    """Rows of the table: what, and how much."""
    nodes, shards = size.nodes or NODES_MAX, given["house.shards"]
    year = 365 * size.users * given["users.active"] / 2**30
    told_bytes = given["one.told.wire_bytes"]
    register = given["three.register.node_bytes"] * nodes + given["one.register.placement_bytes"] * shards / 16
    others = year * (given["day.receipts"] + given["day.to_device"] + given["day.other"]) * given["one.to_device.disk_bytes"]
    searched = given["table.message_search_1"] + given["table.message_search_1_words"]
    found = year * given["day.messages"] * (1 - given["messages.encrypted"]) * searched
    kept = year * given["day.messages"] * max(given["one.message.disk_bytes"] - searched, 0)
    written = size.messages * given["one.message.wal_bytes"] + size.others * given["one.to_device.wal_bytes"]
    yield "messages a second", amount(size.messages)
    yield "records a second, all families", amount(size.records)
    yield "deliveries to long polls a second", amount(size.deliveries)
    yield "clients that wait", amount(size.users * given["users.connected"])
    yield "cores of nodes, without what they tell each other", amount(size.base_cores)
    yield "memory of actors and long polls, GiB", amount(size.memory_mib / 1024)
    yield "**nodes**", amount(size.nodes) if size.nodes else "no number is enough"
    yield "cores of each node that only hear what the others write", amount(size.told_cores * (nodes - 1) / nodes)
    yield "MiB a second that each node is told", amount(size.records * told_bytes * (nodes - 1) / nodes / 2**20)
    yield "**databases**, by CPU time", amount(size.databases)
    yield "write-ahead log, MiB a second", amount(written / 2**20)
    yield "statements a second for nodes at rest", amount(nodes * given["one.rest.statements_per_s"])
    yield "MiB a second read for beats", amount(nodes * 2 * register / 2**20)
    yield "disk of a year, GiB: messages without search", amount(kept)
    yield "… other records", amount(others)
    yield "… `message_search`, in the first database", amount(found)
    yield "**databases**, by the disk of a year", amount(math.ceil((kept + others + found) / given["database.disk_gib"]))
    yield "rows of `memberships`, millions", amount(size.users * given["users.rooms"] / 1e6)
    yield "records a second of one shard", amount(size.records / 3 / shards)


def reckon(text):
    """The table for all sizes, in Markdown."""
    given = values_of(text)
    columns = [list(lines_of(size_of(users, given), given)) for users in SIZES]
    rows = [f"| in the busiest hour | {' | '.join(f'{users:,} users' for users in SIZES)} |", "|---" * (1 + len(SIZES)) + "|"]
    for parts in zip(*columns):
        rows.append(f"| {parts[0][0]} | {' | '.join(value for _, value in parts)} |")
    return "\n".join(rows)


def write(page):
    """Puts the table into a page, in the place of what was there."""
    text = page.read_text()
    before, found, rest = text.partition(MARKS[0])
    _, ended, after = rest.partition(MARKS[1])
    if found and ended:
        page.write_text(f"{before}{found}\n\n{reckon(text)}\n\n{ended}{after}")
