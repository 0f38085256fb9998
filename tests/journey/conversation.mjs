// A conversation in an encrypted room by matrix-js-sdk: two users, two devices each.
//
// usage: node conversation.mjs BASE_URL
//
// Prints `RESTART` when it wants the server restarted and then waits for a line on standard input. Ends with `CONVERSATION OK`.

import { sdk, base, ask, fail, login, register, say as tell, until } from "./sdk.mjs";

async function open(name, session) {
  const client = sdk.createClient({ baseUrl: base, userId: session.user_id, deviceId: session.device_id, accessToken: session.access_token });
  await client.initRustCrypto({ useIndexedDB: false });
  client.getCrypto().globalBlacklistUnverifiedDevices = false;
  await client.startClient({ initialSyncLimit: 20, lazyLoadMembers: true });
  await until(`${name} is syncing`, () => client.isInitialSyncComplete());
  return { name, client, userId: session.user_id };
}

function events(device, roomId) {
  return device.client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
}

function reads(device, roomId, body) {
  const read = (event) => event.isEncrypted() && !event.isDecryptionFailure() && event.getClearContent()?.body === body;
  return events(device, roomId).some(read);
}

async function say(device, devices, roomId, body) {
  const { event_id } = await device.client.sendMessage(roomId, { msgtype: "m.text", body });
  for (const other of devices) await until(`${other.name} reads ${body}`, () => reads(other, roomId, body));
  return event_id;
}

async function mediaRoundTrip(device) {
  const payload = new Uint8Array(100_000).map((_, index) => (index * 31) % 251);
  const { content_uri } = await device.client.uploadContent(new Blob([payload]), { type: "application/octet-stream", name: "payload.bin" });
  const url = device.client.mxcUrlToHttp(content_uri, undefined, undefined, undefined, false, true, true);
  const answer = await fetch(url, { headers: { Authorization: `Bearer ${device.client.getAccessToken()}` } });
  const body = new Uint8Array(await answer.arrayBuffer());
  if (!answer.ok || Buffer.compare(Buffer.from(body), Buffer.from(payload)) !== 0) fail("media came back different");
}

const devices = [];
for (const user of ["clara", "dirk"]) {
  devices.push(await open(`${user}1`, await register(user)));
  devices.push(await open(`${user}2`, await login(user, `${user}2`)));
}
const [clara1, clara2, dirk1] = devices;
const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
const { room_id: roomId } = await clara1.client.createRoom({ invite: [dirk1.userId], initial_state: [encryption], preset: "private_chat" });
await until("the invite", () => dirk1.client.getRoom(roomId)?.getMyMembership() === "invite");
await dirk1.client.joinRoom(roomId);
for (const device of devices) {
  await until(`${device.name} sees both members`, () => device.client.getRoom(roomId)?.getJoinedMemberCount() === 2);
}

const eventIds = [];
for (const device of devices) eventIds.push(await say(device, devices, roomId, `hello from ${device.name}`));

await clara1.client.redactEvent(roomId, eventIds[0]);
for (const device of devices) {
  await until(`${device.name} sees the redaction`, () => events(device, roomId).find((event) => event.getId() === eventIds[0])?.isRedacted());
}

const last = events(dirk1, roomId).find((event) => event.getId() === eventIds[3]);
await dirk1.client.sendReadReceipt(last);
await until("dirk's receipt", () => clara2.client.getRoom(roomId)?.hasUserReadEvent(dirk1.userId, eventIds[3]));
await dirk1.client.sendTyping(roomId, true, 20_000);
await until("dirk typing", () => clara1.client.getRoom(roomId)?.getMember(dirk1.userId)?.typing === true);
await dirk1.client.sendTyping(roomId, false, 0);
await until("dirk no longer typing", () => clara1.client.getRoom(roomId)?.getMember(dirk1.userId)?.typing === false);
await mediaRoundTrip(clara2);

await ask("RESTART");
for (const device of devices) await say(device, devices, roomId, `after the restart, ${device.name}`);
for (const device of devices) {
  const ids = events(device, roomId).map((event) => event.getId());
  if (new Set(ids).size !== ids.length) fail(`${device.name} saw something twice`);
}
for (const device of devices) device.client.stopClient();
tell("CONVERSATION OK");
process.exit(0);
