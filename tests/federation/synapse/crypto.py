"""Secrets between two servers by matrix-nio: a user on each, who talk in encrypted rooms of each, and later get a second device.

usage: crypto.py BASE_URL OTHER_BASE_URL

Ends with `SECRETS OK`.
"""

import asyncio
import sys
import tempfile

from conversation import Device, all_steps, check, say
from nio import JoinResponse, LoginResponse, RoomCreateResponse
from nio.responses import RegisterResponse

ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}


async def first_device(base, user, folder):
    device = Device(base, user, f"{user}1", folder)
    check(await device.client.register(user, "correct horse battery", device_name=f"{user}1"), RegisterResponse)
    device.client.load_store()
    return device


async def second_device(base, user, folder):
    device = Device(base, user, f"{user}2", folder)
    check(await device.client.login("correct horse battery", device_name=f"{user}2"), LoginResponse)
    return device


def device_count(device, user_id):
    return sum(1 for _ in device.client.device_store.active_user_devices(user_id))


async def meet(host, guest):
    created = await host.client.room_create(invite=[guest.client.user_id], initial_state=[ENCRYPTION])
    room_id = check(created, RoomCreateResponse).room_id
    await guest.until("the invite", lambda: room_id in guest.client.invited_rooms)
    check(await guest.client.join(room_id), JoinResponse)
    for device in (host, guest):
        await device.until("both members", lambda: room_id in device.client.rooms and len(device.client.rooms[room_id].users) == 2)
    return room_id


async def converse(bases, folder):
    devices = [await first_device(base, user, folder) for base, user in zip(bases, ("clara", "dirk"))]
    clara, dirk = devices
    for host, guest in ((clara, dirk), (dirk, clara)):
        room_id = await meet(host, guest)
        for device, other in ((clara, dirk), (dirk, clara)):
            await device.until("the other's device", lambda: device_count(device, other.client.user_id) == 1)
        await say(host, [guest], room_id, f"a secret of {host.name}")
        await say(guest, [host], room_id, f"a secret of {guest.name}")
    # New devices are noticed, and read what is said from then on.
    for base, user, other in ((bases[0], "clara", dirk), (bases[1], "dirk", clara)):
        device = await second_device(base, user, folder)
        devices.append(device)
        await device.step()
        await other.until("the new device", lambda: device_count(other, device.client.user_id) == 2)
    for _ in range(2):
        await all_steps(devices)
    for device in devices:
        others = [other for other in devices if other is not device]
        await say(device, others, room_id, f"a late secret of {device.name}")
    for device in devices:
        await device.client.close()


def main():
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(converse(sys.argv[1:3], folder))
    print("SECRETS OK", flush=True)


main()
