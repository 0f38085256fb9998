"""A conversation in an encrypted room by matrix-nio: two users, two devices each.

usage: conversation.py BASE_URL

Prints `RESTART` when it wants the server restarted and then waits for a line on standard input. Ends with `CONVERSATION OK`.
"""

import asyncio
import os
import sys
import tempfile

from nio import (
    AsyncClient,
    AsyncClientConfig,
    DownloadResponse,
    JoinResponse,
    LoginResponse,
    RedactedEvent,
    RoomCreateResponse,
    RoomMessageText,
    RoomReadMarkersResponse,
    RoomRedactResponse,
    RoomSendResponse,
    SyncResponse,
    TypingNoticeEvent,
    ReceiptEvent,
    UploadResponse,
)
from nio.responses import RegisterResponse

DEADLINE_SECONDS = 240


class Device:
    """One device: a client, its store, and what it has seen."""

    def __init__(self, base, user, name, folder):
        config = AsyncClientConfig(store_sync_tokens=True, encryption_enabled=True)
        self.name = name
        self.client = AsyncClient(base, user, store_path=folder, config=config)
        self.texts = []
        self.redacted = set()
        self.receipts = {}
        self.typing = set()
        self.client.add_event_callback(self.on_text, RoomMessageText)
        self.client.add_event_callback(self.on_redacted, RedactedEvent)
        self.client.add_ephemeral_callback(self.on_receipt, ReceiptEvent)
        self.client.add_ephemeral_callback(self.on_typing, TypingNoticeEvent)

    async def on_text(self, _room, event):
        self.texts.append((event.event_id, event.body, event.decrypted))

    async def on_redacted(self, _room, event):
        self.redacted.add(event.event_id)

    async def on_receipt(self, _room, event):
        for receipt in event.receipts:
            self.receipts[receipt.user_id] = receipt.event_id

    async def on_typing(self, _room, event):
        self.typing = set(event.users)

    async def step(self, timeout=500):
        response = await self.client.sync(timeout=timeout)
        check(response, SyncResponse)
        # What a client's sync loop does between two syncs.
        if self.client.should_upload_keys:
            await self.client.keys_upload()
        if self.client.should_query_keys:
            await self.client.keys_query()
        await self.client.send_to_device_messages()
        for room_id in self.client.rooms:
            for user in self.client.rooms[room_id].users:
                for device in self.client.device_store.active_user_devices(user):
                    if not device.verified and device.device_id != self.client.device_id:
                        self.client.verify_device(device)

    async def until(self, what, condition):
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not condition():
                    await self.step()
        except TimeoutError:
            raise SystemExit(f"{self.name} never saw: {what}; texts: {self.texts}")

    def read(self, body):
        return any(text == body and decrypted for _, text, decrypted in self.texts)


def check(response, kind):
    if not isinstance(response, kind):
        raise SystemExit(f"expected {kind.__name__}, got {response}")
    return response


async def all_steps(devices):
    for device in devices:
        await device.step(timeout=0)


async def say(device, others, room_id, body):
    """Sends an encrypted text and waits until every other device has decrypted it."""
    content = {"msgtype": "m.text", "body": body}
    sent = check(await device.client.room_send(room_id, "m.room.message", content), RoomSendResponse)
    for other in others:
        await other.until(f"{body!r} by {device.name}", lambda: other.read(body))
    return sent.event_id


async def media_round_trip(device):
    payload = os.urandom(100_000)
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "payload.bin")
    with open(path, "wb") as file:
        file.write(payload)
    with open(path, "rb") as file:
        response, _ = await device.client.upload(file, content_type="application/octet-stream", filename="payload.bin", filesize=len(payload))
    uri = check(response, UploadResponse).content_uri
    body = check(await device.client.download(uri), DownloadResponse).body
    if body != payload:
        raise SystemExit("media came back different")


async def open_devices(base, folder):
    devices = []
    for user in ("anna", "bert"):
        first = Device(base, user, f"{user}1", folder)
        check(await first.client.register(user, "secret words", device_name=f"{user}1"), RegisterResponse)
        first.client.load_store()
        second = Device(base, user, f"{user}2", folder)
        check(await second.client.login("secret words", device_name=f"{user}2"), LoginResponse)
        devices += [first, second]
    return devices


async def converse(base, folder):
    devices = anna1, anna2, bert1, bert2 = await open_devices(base, folder)
    await all_steps(devices)
    await all_steps(devices)
    encryption = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    created = await anna1.client.room_create(invite=[bert1.client.user_id], initial_state=[encryption])
    room_id = check(created, RoomCreateResponse).room_id
    await bert1.until("the invite", lambda: room_id in bert1.client.invited_rooms)
    check(await bert1.client.join(room_id), JoinResponse)
    for device in devices:
        await device.until("both members", lambda: room_id in device.client.rooms and len(device.client.rooms[room_id].users) == 2)
    for _ in range(3):
        await all_steps(devices)

    event_ids = [await say(device, [other for other in devices if other is not device], room_id, f"hello from {device.name}") for device in devices]

    check(await anna1.client.room_redact(room_id, event_ids[0], reason="slip"), RoomRedactResponse)
    fresh = await bert2.client.room_get_event(room_id, event_ids[0])
    if not isinstance(fresh.event, RedactedEvent):
        raise SystemExit(f"not redacted: {fresh}")

    check(await bert1.client.room_read_markers(room_id, event_ids[3], event_ids[3]), RoomReadMarkersResponse)
    await anna2.until("bert's receipt", lambda: anna2.receipts.get(bert1.client.user_id) == event_ids[3])
    await bert1.client.room_typing(room_id, True, 20_000)
    await anna1.until("bert typing", lambda: bert1.client.user_id in anna1.typing)
    await bert1.client.room_typing(room_id, False)
    await anna1.until("bert no longer typing", lambda: bert1.client.user_id not in anna1.typing)
    await media_round_trip(anna2)

    await all_steps(devices)
    tokens = [device.client.next_batch for device in devices]
    counts = [len(device.texts) for device in devices]
    print("RESTART", flush=True)
    sys.stdin.readline()
    for device, token in zip(devices, tokens):
        if device.client.next_batch != token:
            raise SystemExit("the token moved by itself")
    for device in devices:
        body = f"after the restart, {device.name}"
        await say(device, [other for other in devices if other is not device], room_id, body)
    for device, count in zip(devices, counts):
        await device.step(timeout=0)
        new = [event_id for event_id, _, _ in device.texts[count:]]
        if len(new) != len(set(new)) or len(new) < 3:
            raise SystemExit(f"{device.name} saw something twice or missed something after the restart: {device.texts[count:]}")
    for device in devices:
        await device.client.close()


def main():
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(converse(sys.argv[1], folder))
    print("CONVERSATION OK", flush=True)


if __name__ == "__main__":
    main()
