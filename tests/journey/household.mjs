// A household of two people with two devices each, by matrix-js-sdk with its Rust crypto: cross-signing, verification, a key backup, threads, edits and
// reactions, and many encrypted messages while the server is killed again and again.
//
// usage: node household.mjs BASE_URL MESSAGES KILLS
//
// Prints `KILL` when it wants the server killed and started again, and then waits for a line on standard input. Ends with `HOUSEHOLD OK` and figures.

import { sdk, base, ask, fail, login, register, say, until, within, PASSWORD } from "./sdk.mjs";

const { CryptoEvent, VerificationPhase, VerifierEvent } = await import("matrix-js-sdk/lib/crypto-api/index.js");
const { SlidingSync } = await import("matrix-js-sdk/lib/sliding-sync.js");
const MESSAGES = Number(process.argv[3]);
const KILLS = Number(process.argv[4]);
const recoveryKeys = new Map();

// What the SDK does in the background meets a dead server now and then, and tries again later.
process.on("unhandledRejection", (error) => {
  if (error?.name !== "ConnectionError") fail(`unhandled: ${error?.stack ?? error}`);
});

/** A room list by sliding sync, as clients of today ask for it. */
function roomList(client) {
  const room = { required_state: [["*", "*"]], timeline_limit: 20 };
  const list = { ranges: [[0, 20]], ...room };
  return new SlidingSync(base, new Map([["all", list]]), room, client, 30_000);
}

async function open(name, session, sliding = false) {
  const userId = session.user_id;
  const client = sdk.createClient({
    baseUrl: base,
    userId,
    deviceId: session.device_id,
    accessToken: session.access_token,
    verificationMethods: ["m.sas.v1"],
    // The story sends again by itself, at once.
    scheduler: new sdk.MatrixScheduler(() => -1),
    cryptoCallbacks: {
      getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], recoveryKeys.get(userId)],
    },
  });
  const echoes = new Map();
  client.on("Room.localEchoUpdated", (event) => {
    if (event.status === null) echoes.set(event.getTxnId(), event.getId());
  });
  await client.initRustCrypto({ useIndexedDB: false });
  const slidingSync = sliding ? roomList(client) : undefined;
  await client.startClient({ slidingSync, initialSyncLimit: 20, lazyLoadMembers: true, threadSupport: true, pendingEventOrdering: "detached" });
  await until(`${name} is syncing`, () => client.isInitialSyncComplete());
  return { name, client, userId, deviceId: session.device_id, crypto: client.getCrypto(), echoes, slidingSync };
}

/** Cross-signing keys, secret storage and a key backup: what a client sets up at first. */
async function bootstrap(device) {
  const auth = { type: "m.login.password", identifier: { type: "m.id.user", user: device.userId }, password: PASSWORD };
  await device.crypto.bootstrapCrossSigning({
    setupNewCrossSigning: true,
    authUploadDeviceSigningKeys: async (request) => {
      try {
        await request(null);
      } catch (error) {
        await request({ ...auth, session: error.data?.session });
      }
    },
  });
  await device.crypto.bootstrapSecretStorage({
    setupNewSecretStorage: true,
    setupNewKeyBackup: true,
    createSecretStorageKey: async () => {
      const key = await device.crypto.createRecoveryKeyFromPassphrase();
      recoveryKeys.set(device.userId, key.privateKey);
      return key;
    },
  });
  await until(`${device.name} has its secrets stored`, () => device.crypto.isSecretStorageReady());
  await until(`${device.name} backs up`, async () => (await device.crypto.getActiveSessionBackupVersion()) !== null);
}

/** Two devices compare emoji and find them alike. */
async function verify(asking, answering, ask) {
  const asked = new Promise((resolve) => answering.client.once(CryptoEvent.VerificationRequestReceived, resolve));
  const request = await within(`${asking.name} asks`, ask());
  const heard = await within(`${answering.name} hears of the request`, asked, () => `asked: ${phase(request)}`);
  const both = () => `${asking.name}: ${phase(request)}, ${answering.name}: ${phase(heard)}`;
  await within(`${answering.name} accepts`, heard.accept(), both);
  await until(`${asking.name} sees the request accepted`, () => request.phase === VerificationPhase.Ready);
  const verifier = await within(`${asking.name} starts`, request.startVerification("m.sas.v1"), both);
  await until(`${answering.name} sees the verification start`, () => heard.verifier !== undefined);
  const emoji = [];
  const compare = (side) => async (sas) => {
    emoji.push(`${side}:${sas.sas.decimal}`);
    await sas.confirm();
  };
  verifier.on(VerifierEvent.ShowSas, compare("a"));
  heard.verifier.on(VerifierEvent.ShowSas, compare("b"));
  await within("both verify", Promise.all([verifier.verify(), heard.verifier.verify()]), () => `${both()}, shown ${emoji}`);
  const [one, other] = emoji.map((text) => text.slice(2));
  if (emoji.length !== 2 || one !== other) fail(`the emoji differ: ${emoji}`);
}

const phase = (request) => `${VerificationPhase[request.phase]} (${request.cancellationCode ?? "not cancelled"})`;

const room = (device) => device.client.getRoom(roomId);
const find = (device, eventId) => room(device)?.findEventById(eventId);

function reads(device, eventId, body) {
  const event = find(device, eventId);
  return event && !event.isDecryptionFailure() && event.getContent()?.body === body;
}

let transactions = 0;

/** Sends until the server has said yes. The same transaction ID is used again, so nothing is doubled. */
async function send(device, content, threadId = null) {
  const transaction = `story${(transactions += 1)}`;
  const mine = (event) => event.getTxnId() === transaction;
  let answer = await device.client.sendMessage(roomId, threadId, content, transaction).catch(() => undefined);
  while (!answer) {
    // The SDK gives an error, too, when the message came back through sync before its answer did.
    if (device.echoes.has(transaction)) return device.echoes.get(transaction);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const unsent = room(device).getPendingEvents().find(mine);
    if (unsent) answer = await device.client.resendEvent(unsent, room(device)).catch(() => undefined);
    else if (!device.echoes.has(transaction)) fail(`${device.name} has lost a message of its own`);
  }
  return answer.event_id;
}

const text = (body) => ({ msgtype: "m.text", body });

async function relations(author, reader) {
  const root = await send(author, text("the root"));
  await until("the root", () => reads(reader, root, "the root"));
  const reply = await send(reader, { ...text("in the thread"), "m.relates_to": { rel_type: "m.thread", event_id: root } }, root);
  await until("the thread", () => find(author, root)?.getThread()?.length === 1);
  const edit = { ...text("* the new root"), "m.new_content": text("the new root"), "m.relates_to": { rel_type: "m.replace", event_id: root } };
  await send(author, edit);
  await until("the edit", () => find(reader, root)?.replacingEvent()?.getContent()?.body === "the new root" || find(reader, root)?.getContent()?.body === "the new root");
  await reader.client.sendEvent(roomId, "m.reaction", { "m.relates_to": { rel_type: "m.annotation", event_id: root, key: "🎉" } });
  await until("the reaction", () => {
    const found = room(author)?.relations.getChildEventsForEvent(root, "m.annotation", "m.reaction");
    return found?.getSortedAnnotationsByKey()?.[0]?.[0] === "🎉";
  });
  const { chunk } = await author.client.fetchRelations(roomId, root, "m.thread", null, { limit: 5 });
  if (!chunk.some((event) => event.event_id === reply)) fail("the thread's reply is not among the relations");
}

/** All messages of a room as a device can read them, from the server's history. */
async function readAll(device) {
  const bodies = new Map();
  let broken = 0;
  const reasons = new Map();
  let from = null;
  const mapper = device.client.getEventMapper({ decrypt: false });
  do {
    const page = await device.client.createMessagesRequest(roomId, from, 100, "b");
    for (const raw of page.chunk.filter((raw) => raw.type === "m.room.encrypted")) {
      const event = mapper(raw);
      await device.client.decryptEventIfNeeded(event);
      if (event.isDecryptionFailure()) {
        broken += 1;
        const { sender, content } = raw;
        reasons.set(`${sender} ${content.device_id} ${content.session_id}: ${event.decryptionFailureReason}`, raw.event_id);
      }
      else bodies.set(raw.event_id, event.getClearContent().body);
    }
    from = page.end;
  } while (from);
  return { bodies, broken, reasons };
}

const household = [];
for (const user of ["ada", "ben"]) {
  const first = await open(`${user}1`, await register(user));
  await bootstrap(first);
  // Ben's second device lives on sliding sync.
  const second = await open(`${user}2`, await login(user, `${user}2`), user === "ben");
  await until(`${second.name} sees the cross-signing keys`, () => second.crypto.userHasCrossSigningKeys(second.userId, true));
  await verify(second, first, () => second.crypto.requestOwnUserVerification());
  const signed = async (device) => (await device.crypto.getDeviceVerificationStatus(second.userId, second.deviceId))?.signedByOwner;
  await until(`${second.name} is signed by its owner`, () => signed(first));
  await until(`${second.name} has the private keys`, () => second.crypto.isCrossSigningReady());
  household.push(first, second);
}
const [ada1, ada2, ben1, ben2] = household;

const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
const { room_id: roomId } = await ada1.client.createRoom({ invite: [ben1.userId], initial_state: [encryption], preset: "private_chat" });
await until("the invite", () => ben1.client.getRoom(roomId)?.getMyMembership() === "invite");
await ben1.client.joinRoom(roomId);
for (const device of household) {
  await until(`${device.name} sees both members`, () => room(device)?.getJoinedMemberCount() === 2);
}
await until("the room in the list", () => ben2.slidingSync.getListData("all")?.joinedCount === 1);
await until("ben's keys at ada's", () => ada1.crypto.userHasCrossSigningKeys(ben1.userId, true));
await until("ada's keys at ben's", () => ben1.crypto.userHasCrossSigningKeys(ada1.userId, true));
await verify(ada1, ben1, () => ada1.crypto.requestDeviceVerification(ben1.userId, ben1.deviceId));
await until("ada has verified ben", async () => (await ada1.crypto.getUserVerificationStatus(ben1.userId)).isCrossSigningVerified());
await until("ada's other device knows", async () => (await ada2.crypto.getUserVerificationStatus(ben1.userId)).isCrossSigningVerified());
await relations(ada1, ben2);

// Many messages, and a server that dies meanwhile.
const sent = new Map();
let writing = true;
const writers = household.map(async (device, place) => {
  for (let number = place; number < MESSAGES; number += household.length) {
    const body = `message ${number}`;
    sent.set(await send(device, text(body)), body);
  }
});
const killer = (async () => {
  for (let kill = 1; kill <= KILLS; kill += 1) {
    const enough = Math.floor((MESSAGES * kill) / (KILLS + 1));
    await until(`${enough} messages`, () => sent.size >= enough || !writing, 600_000);
    await ask("KILL");
  }
})();
await Promise.all(writers);
writing = false;
await killer;
if (sent.size !== MESSAGES) fail(`${MESSAGES} messages became ${sent.size} events`);

// A client whose sync met a dead server waits some seconds before it tries again: all must have come to the end before they are asked what they can read.
const end = await send(ben1, text("the end"));
for (const device of household) await until(`${device.name} has come to the end`, () => reads(device, end, "the end"));

// A device that is new has nothing but the backup.
for (const device of household) {
  let told = Infinity;
  const remaining = (count) => (told = count);
  device.client.on(CryptoEvent.KeyBackupSessionsRemaining, remaining);
  await device.crypto.checkKeyBackupAndEnable();
  const sessions = (await device.crypto.exportRoomKeys()).length;
  await until(`${device.name}'s keys are backed up`, async () => told === 0 || (await device.crypto.getKeyBackupInfo())?.count >= sessions);
}
const ada3 = await open("ada3", await login("ada", "ada3"));
await ada3.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
const restored = await ada3.crypto.restoreKeyBackup();

let undecryptable = 0;
for (const device of [...household, ada3]) {
  const { bodies, broken, reasons } = await readAll(device);
  undecryptable += broken;
  if (broken > 0) process.stderr.write(`${device.name} (${device.deviceId}): ${broken} undecryptable: ${JSON.stringify([...reasons.keys()])}\n`);
  const doubled = [...bodies.values()].filter((body) => /^message /.test(body)).length;
  if (doubled !== MESSAGES) fail(`${device.name} reads ${doubled} messages of ${MESSAGES}`);
  for (const [eventId, body] of sent) if (bodies.get(eventId) !== body) fail(`${device.name} does not read ${body}`);
}
if (undecryptable > 0) fail(`${undecryptable} undecryptable`);
for (const device of [...household, ada3]) device.client.stopClient();
say(`HOUSEHOLD OK: ${MESSAGES} messages, ${KILLS} kills, 0 undecryptable on 5 devices, ${restored.imported} keys restored`);
process.exit(0);
