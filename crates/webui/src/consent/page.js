// The consent page. It shows what the local program says and sends back what the person does; it decides nothing.
// Text from elsewhere only ever becomes text nodes.

const byId = (id) => document.getElementById(id);

// A yes needs at least this long a look at the question, whatever the program says.
const SHORTEST_LOOK_MS = 1000;
// The same when nobody could check who is asking.
const SHORTEST_LOOK_AT_STRANGER_MS = 3000;
// Pauses between attempts to reach the program again. After the last one it counts as gone.
const RETRY_PAUSES_MS = [100, 400, 1000, 1500];

const SHORT = {
  "diag.basic": "Vital signs", "diag.logs": "Logs", "diag.network": "Network", "diag.process": "Programs", "diag.arguments": "One program, once",
  "screen.view": "See screen", "screen.control": "Control screen", "term.view": "See terminal", "term.control": "Type in terminal",
  "file.read": "Files from here", "file.write": "Files to here", "tunnel": "Network services", "run.r0": "Checks",
  "run.r1": "Changes that can be undone", "run.r2": "Changes", "run.r3": "Permanent changes", "adhoc.argv": "One command",
  "diag.load": "Speed of the connection", "elevate": "Administrator", "reboot_reconnect": "After restart",
};

let bearer = null;
let latest = null; // { view, madeAt }
let shownScreen = null;
let question = null; // { key, prompt, visibleSince, sent }
let over = false;

// ---- the program ----------------------------------------------------------------------------------------------------------

function call(path, body, more = {}) {
  const headers = { "Content-Type": "application/json" };
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  return fetch(path, { method: "POST", headers, body: JSON.stringify(body), credentials: "same-origin", cache: "no-store", ...more });
}

async function signIn() {
  const ticket = new URLSearchParams(location.hash.slice(1)).get("t");
  history.replaceState(null, "", "/");
  // The bearer outlives a reload of this tab and nothing else: session storage belongs to one tab and one port.
  bearer = sessionStorage.getItem("bearer");
  if (ticket) {
    const reply = await call("/session", { ticket });
    if (reply.ok) {
      bearer = (await reply.json()).bearer;
      sessionStorage.setItem("bearer", bearer);
    }
  }
  return bearer !== null;
}

async function follow() {
  let failures = 0;
  while (!over) {
    try {
      const reply = await call("/events", {});
      if (reply.status === 409) return show("elsewhere");
      if (reply.status === 401) return show("stranger-page");
      if (!reply.ok) throw new Error(`status ${reply.status}`);
      failures = 0;
      const ended = await readEvents(reply.body);
      if (ended === "moved") return show("elsewhere");
    } catch {
      // The connection broke or could not be made; either way it is tried again below.
    }
    if (over) return;
    if (failures === RETRY_PAUSES_MS.length) return lost();
    tell("Reaching Assent on this computer again…");
    await new Promise((done) => setTimeout(done, RETRY_PAUSES_MS[failures]));
    failures += 1;
  }
}

// Reads Server-Sent Events by hand, because EventSource cannot send a bearer.
async function readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return "broken";
    text += value;
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const event = parseEvent(text.slice(0, end));
      text = text.slice(end + 2);
      if (event.name === "moved") return "moved";
      if (event.name === "over") return finished();
      if (event.name === "view") {
        latest = { view: JSON.parse(event.data), madeAt: performance.now() };
        tell(null);
        render();
      }
    }
  }
}

function parseEvent(block) {
  const event = { name: "", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) event.name = line.slice(6).trim();
    if (line.startsWith("data:")) event.data += line.slice(5).replace(/^ /, "");
  }
  return event;
}

function finished() {
  if (latest?.view.phase.name !== "ended") lost();
  over = true;
  return "over";
}

function lost() {
  over = true;
  if (latest?.view.phase.name === "ended") return;
  tell(null);
  show("lost");
  announce("Assent has stopped on this computer. Nothing can be done on it any more.");
}

async function send(act) {
  let text;
  try {
    const reply = await call("/act", act);
    if (reply.ok) return true;
    text = reply.status === 409 ? "Assent is open in another tab. Answer there." : "That did not work: the program did not take it. Nothing was allowed.";
  } catch {
    text = "That did not work: the program on this computer cannot be reached. Nothing was allowed.";
  }
  tell(text);
  return false;
}

// ---- what is shown --------------------------------------------------------------------------------------------------------

const SCREENS = ["connecting", "waiting", "void", "asking", "session", "ended", "lost", "elsewhere", "stranger-page"];

function show(screen) {
  byId("starting").hidden = true;
  const outside = ["lost", "elsewhere", "stranger-page"].includes(screen);
  for (const id of SCREENS) byId(id).hidden = id !== screen;
  byId("bar").hidden = outside ? screen !== "elsewhere" : screen === "ended";
  if (outside) {
    closeQuestion();
    byId("activity").hidden = true;
    byId("bar-title").textContent = "Assent";
    byId("bar-unchecked").hidden = true;
    byId("bar-dot").className = "dot";
    byId("bar-chips").replaceChildren();
    byId("bar-last").textContent = byId("bar-connection").textContent = "";
  }
  if (screen !== shownScreen) {
    // The first screen leaves the focus at the top, so that the first Tab reaches Stop.
    if (!question && shownScreen) byId(screen).querySelector("h1").focus({ preventScroll: true });
    shownScreen = screen;
  }
}

const SCREEN_OF = {
  connecting: "connecting", waiting: "waiting", code_void: "void", asking: "asking", live: "session", paused: "session", ended: "ended",
};

function render() {
  const { view } = latest;
  const phase = view.phase.name;
  const before = shownScreen;
  renderQuestion(view);
  show(SCREEN_OF[phase]);
  // While the first question is open, it is the page.
  if (phase === "asking") byId("asking").hidden = question !== null;
  renderBar(view);
  if (phase === "connecting") byId("connecting-detail").textContent = view.phase.detail;
  if (phase === "waiting") renderCode(view.phase.code);
  if (phase === "code_void") byId("void-reason").textContent = view.phase.reason;
  if (phase === "live" || phase === "paused") renderSession(view);
  if (phase === "ended") {
    byId("ended-reason").textContent = view.phase.reason;
    byId("receipt").hidden = !view.phase.receipt;
    byId("receipt-path").textContent = view.phase.receipt ?? "";
  }
  renderActivity(view);
  if (!question) tell(view.notice);
  if (before !== shownScreen && !question) announce(byId(shownScreen).querySelector("h1").textContent);
  document.title = `${question ? "Question: " : ""}${(question ? byId("question-title") : byId(shownScreen).querySelector("h1")).textContent} – Assent`;
  tick();
}

// Who is asking: a proved name as it is; a claimed one in quotation marks and in a frame, which the name itself cannot draw.
function nameOf(technician) {
  if (!technician) return ["Somebody"];
  if (!technician.verified) return [node("bdi", { class: "claim" }, `“${technician.name}”`)];
  const name = node("bdi", {}, technician.name);
  return technician.organisation ? [name, " (", node("bdi", {}, technician.organisation), ")"] : [name];
}

function renderBar(view) {
  const { phase, technician, grants, activity, connection } = view;
  const titles = {
    connecting: ["Nobody is connected"],
    waiting: ["Nobody is connected"],
    code_void: ["Nobody is connected"],
    asking: [...nameOf(technician), " is asking to connect"],
    live: [...nameOf(technician), " is connected"],
    paused: ["Paused: ", ...nameOf(technician), " can do nothing"],
    ended: ["The session is over"],
  };
  const unchecked = technician && !technician.verified && (phase.name === "live" || phase.name === "paused");
  byId("bar-title").replaceChildren(...titles[phase.name]);
  byId("bar-unchecked").hidden = !unchecked || technician.words_confirmed;
  byId("bar-dot").className = `dot ${{ live: "on", paused: "held", asking: "held" }[phase.name] ?? ""}`;
  const chips = grants.flatMap((grant) => grant.abilities.map((ability) => ({ key: `${grant.grant}/${ability.ability}`, grant, ability })));
  reconcile(byId("bar-chips"), chips, ({ ability }) => [node("span", {}, SHORT[ability.ability] ?? ability.ability), node("span", { class: "time" })],
    (item, { grant }) => { item.dataset.endsAt = latest.madeAt + grant.remaining_ms; });
  const last = activity.at(-1);
  byId("bar-last").textContent = last ? `Last: ${last.time} ${last.text}` : "";
  byId("bar-connection").textContent = connection;
}

function renderCode(code) {
  if (byId("code").textContent === code) return;
  byId("code").textContent = code;
  byId("code-spoken").textContent = code.split(" ").map((group) => [...group].join(" ")).join(", ");
}

function renderSession(view) {
  const paused = view.phase.name === "paused";
  byId("session-title").replaceChildren(...(paused ? ["Everything is paused"] : [...nameOf(view.technician), " is connected to this computer"]));
  byId("session-text").hidden = !paused;
  const rows = view.grants.flatMap((grant) => grant.abilities.map((ability) => ({ key: `${grant.grant}/${ability.ability}`, grant, ability })));
  byId("grants-none").hidden = rows.length > 0;
  reconcile(byId("grants-list"), rows, ({ key, ability }) => [
    node("span", { class: "what" }, ability.words),
    node("span", { class: "time" }),
    node("button", { class: "button small", type: "button", "aria-label": `Take back: ${ability.words}`, onclick: () => takeBack(key) }, "Take back"),
  ], (item, { grant }) => { item.dataset.endsAt = latest.madeAt + grant.remaining_ms; });
  byId("runs").hidden = view.runs.length === 0;
  reconcile(byId("runs-list"), view.runs.map((run) => ({ key: `${run.run}`, run })), ({ run }) => [
    node("span", { class: "what" }, node("code", {}, run.command)),
    node("span", { class: "time" }),
    node("button", { class: "button small", type: "button", "aria-label": `Stop: ${run.command}`, onclick: () => send({ act: "stop_run", run: run.run }) }, "Stop"),
  ], (item, { run }) => { item.dataset.startedAt = latest.madeAt - run.running_ms; });
}

// Takes one ability back, as the newest view has its grant: whatever else the grant covers stays.
function takeBack(key) {
  for (const grant of latest.view.grants) {
    const names = grant.abilities.map((ability) => ability.ability);
    const rest = names.filter((name) => `${grant.grant}/${name}` !== key);
    if (rest.length === names.length) continue;
    send(rest.length ? { act: "narrow", grant: grant.grant, abilities: rest } : { act: "revoke", grant: grant.grant });
    byId("session-title").focus({ preventScroll: true });
  }
}

function renderActivity(view) {
  byId("activity").hidden = view.activity.length === 0;
  const lines = view.activity.map((line, index) => ({ key: `${line.time} ${line.text} ${countBefore(view.activity, index)}`, line }));
  reconcile(byId("activity-list"), lines.reverse(), ({ line }) => [node("span", { class: "time" }, line.time), node("span", {}, line.text)]);
}

function countBefore(lines, index) {
  return lines.slice(0, index).filter((line) => line.time === lines[index].time && line.text === lines[index].text).length;
}

// ---- the question ---------------------------------------------------------------------------------------------------------

function renderQuestion(view) {
  const { prompt } = view;
  if (!prompt) return closeQuestion();
  const key = `${prompt.prompt}/${prompt.digest}`;
  if (question?.key !== key) openQuestion(key, prompt, view.technician);
  question.sent = false;
  question.prompt = prompt;
  const behind = view.prompts_waiting;
  byId("behind").hidden = behind === 0;
  byId("behind").textContent = behind === 1 ? "One more question waits behind this one." : `${behind} more questions wait behind this one.`;
  byId("question-notice").hidden = !view.notice;
  setText("question-notice", view.notice ?? "");
}

function openQuestion(key, prompt, technician) {
  const stranger = !technician?.verified;
  question = { key, prompt, stranger, visibleSince: document.hidden ? Infinity : performance.now(), sent: false };
  const titles = {
    session: stranger ? ["Somebody wants to connect to this computer"] : ["May ", ...nameOf({ ...technician, organisation: null }), " connect to this computer?"],
    abilities: [...nameOf(technician), " asks for more"],
    run: [...nameOf(technician), " asks to run a command"],
    inspection: [...nameOf(technician), ` asks ${prompt.inspection?.asks}`],
  };
  const card = byId("question");
  card.classList.toggle("unknown", stranger);
  byId("question-title").replaceChildren(...titles[prompt.kind]);
  byId("stranger").hidden = !stranger || technician?.words_confirmed === true;
  byId("worded").hidden = !(stranger && technician?.words_confirmed);
  byId("stranger-name").replaceChildren(...nameOf(technician));
  byId("known").hidden = stranger || !technician.organisation;
  byId("known-text").replaceChildren(...(byId("known").hidden ? [] : [node("bdi", {}, technician.organisation), " vouches that this is ", node("bdi", {}, technician.name), "."]));
  byId("reason").hidden = !prompt.reason;
  byId("no-reason").hidden = prompt.reason !== "";
  byId("reason-text").textContent = prompt.reason ?? "";
  byId("abilities").hidden = prompt.abilities.length === 0 || isOnce(prompt);
  byId("abilities-list").replaceChildren(...(isOnce(prompt) ? [] : prompt.abilities).map((ability) => {
    const box = node("input", { type: "checkbox", value: ability.ability, oninput: tick });
    box.checked = ability.ticked;
    return node("label", {}, box, node("span", {}, ability.words));
  }));
  byId("run").hidden = !prompt.run;
  if (prompt.run) renderRun(prompt.run);
  byId("reading").hidden = !prompt.inspection;
  if (prompt.inspection) renderReading(prompt.inspection);
  byId("lasts").textContent = `If you allow it, that counts ${prompt.lasts}.`;
  byId("addresses").hidden = prompt.addresses === "";
  setText("addresses", prompt.addresses);
  byId("nothing-installed").hidden = prompt.kind !== "session";
  byId("words").hidden = !prompt.needs_spoken_words;
  byId("words-input").value = "";
  card.hidden = false;
  byId("question-title").focus({ preventScroll: true });
  window.scrollTo({ top: 0 });
}

function renderRun(run) {
  const part = (text) => text === "" ? node("span", { class: "empty" }, "“” (an empty argument)") : node("span", { class: "part" }, text);
  const line = (place, text) => node("li", {}, node("span", { class: "place" }, place), part(text));
  const leads = [];
  if (run.target !== null) leads.push(line("Leads to", run.target));
  if (run.interpreter !== null) leads.push(line("A script for", run.interpreter));
  byId("run-command").replaceChildren(line("Program", run.program), ...leads, ...run.arguments.map((argument, index) => line(`Argument ${index + 1}`, argument)));
  const facts = [["In the folder", [run.directory]], ["As the user", [run.user]]];
  if (run.environment.length) facts.push(["With the settings", run.environment]);
  byId("run-facts").replaceChildren(
    ...facts.flatMap(([name, values]) => [node("dt", {}, name), node("dd", {}, ...values.map((value) => node("div", {}, part(value))))]),
    node("dt", {}, "Limits"), node("dd", {}, run.limits),
  );
}

// What is done once is allowed as it is shown, without boxes to tick.
function isOnce(prompt) {
  return prompt.run !== null || prompt.inspection !== null;
}

function renderReading(reading) {
  byId("reading-facts").replaceChildren(...reading.facts.map(({ name, text }) => node("li", {}, node("span", { class: "place" }, name), node("span", { class: "part" }, text))));
  byId("reading-notes").replaceChildren(...reading.notes.map((note) => node("p", {}, note)));
}

function closeQuestion() {
  if (!question) return;
  question = null;
  const hadFocus = byId("question").contains(document.activeElement) || document.activeElement === document.body;
  byId("question").hidden = true;
  setText("question-notice", "");
  byId("words-input").value = "";
  if (hadFocus && shownScreen) byId(shownScreen).querySelector("h1").focus({ preventScroll: true });
}

function lockedMs(now) {
  const look = question.stranger && question.prompt.kind === "session" ? SHORTEST_LOOK_AT_STRANGER_MS : SHORTEST_LOOK_MS;
  const unlocksAt = latest.madeAt + question.prompt.unlocks_in_ms;
  return Math.max(unlocksAt - now, question.visibleSince + look - now, 0);
}

function chosen() {
  if (isOnce(question.prompt)) return question.prompt.abilities.map((ability) => ability.ability);
  return [...byId("abilities-list").querySelectorAll("input")].filter((box) => box.checked).map((box) => box.value);
}

// Why Allow cannot be pressed, or nothing.
function obstacle(now) {
  if (question.sent) return "Sent. Waiting for the program…";
  const locked = lockedMs(now);
  if (locked > 0) return `Take your time to read. You can allow ${Number.isFinite(locked) ? `in ${clock(locked)}` : "when this page is in view"}.`;
  if (!isOnce(question.prompt) && question.prompt.abilities.length > 0 && chosen().length === 0) return "Nothing is ticked. Tick what you want to allow, or deny.";
  if (question.prompt.needs_spoken_words && byId("words-input").value.trim() === "") return "Type the two words first.";
  return null;
}

async function allow() {
  if (!question || obstacle(performance.now())) return;
  const { prompt } = question;
  const asked = question;
  question.sent = true;
  tick();
  const words = prompt.needs_spoken_words ? byId("words-input").value.trim() : null;
  if (!(await send({ act: "allow", prompt: prompt.prompt, digest: prompt.digest, abilities: chosen(), spoken_words: words }))) {
    asked.sent = false;
    tick();
  }
}

async function deny() {
  if (!question) return;
  const asked = question;
  question.sent = true;
  tick();
  if (!(await send({ act: "deny", prompt: asked.prompt.prompt, digest: asked.prompt.digest }))) {
    asked.sent = false;
    tick();
  }
}

// ---- time -----------------------------------------------------------------------------------------------------------------

function tick() {
  const now = performance.now();
  if (!latest || over) return;
  const { phase } = latest.view;
  if (phase.name === "waiting") setText("code-time", `Valid for ${clock(latest.madeAt + phase.expires_in_ms - now)} more`);
  if (phase.name === "paused") setText("session-text", `Nothing happens while you are away. The session ends in ${clock(latest.madeAt + phase.ends_in_ms - now)} if it is not resumed.`);
  for (const item of document.querySelectorAll("[data-ends-at]")) setOwn(item.querySelector(".time"), clock(item.dataset.endsAt - now));
  for (const item of document.querySelectorAll("[data-started-at]")) setOwn(item.querySelector(".time"), clock(now - item.dataset.startedAt));
  if (!question) return;
  const why = obstacle(now);
  const button = byId("allow");
  if (button.disabled !== (why !== null)) {
    button.disabled = why !== null;
    if (!why) announce("You can allow now.");
  }
  setText("allow-hint", why ?? "The Enter key never allows. Click Allow, or go to it with Tab and press the space bar. Esc denies.");
  setText("deadline", `If you do not answer within ${clock(latest.madeAt + question.prompt.answer_within_ms - now)}, that counts as no.`);
}

function clock(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

// ---- small things ---------------------------------------------------------------------------------------------------------

function node(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Makes the list show `wanted`, keeping what is there under the same key so that nothing loses the focus.
function reconcile(list, wanted, make, update = () => {}) {
  const there = new Map([...list.children].map((item) => [item.dataset.key, item]));
  const items = wanted.map((entry) => {
    let item = there.get(entry.key);
    if (!item) {
      item = node("li", {}, ...make(entry));
      item.dataset.key = entry.key;
    }
    update(item, entry);
    return item;
  });
  const kept = new Set(items);
  for (const item of [...list.children]) if (!kept.has(item)) item.remove();
  items.forEach((item, index) => { if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null); });
}

const setText = (id, text) => setOwn(byId(id), text);
function setOwn(element, text) { if (element.textContent !== text) element.textContent = text; }
const announce = (text) => setText("announce", text);

function tell(text) {
  byId("trouble").hidden = !text;
  setText("trouble", text ?? "");
}

// ---- the person -----------------------------------------------------------------------------------------------------------

byId("stop").addEventListener("click", () => send({ act: "stop" }));
byId("deny").addEventListener("click", deny);
// A click that a script or an extension makes up is not the person's.
byId("allow").addEventListener("click", (event) => { if (event.isTrusted) allow(); });
byId("allow").addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
byId("words-input").addEventListener("input", tick);
byId("new-code").addEventListener("click", () => send({ act: "new_code" }));
byId("retry").addEventListener("click", follow);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && question && !question.sent && !event.isComposing) deny();
});
document.addEventListener("visibilitychange", () => {
  // A question that was out of sight has to be looked at again.
  if (question) question.visibleSince = document.hidden ? Infinity : performance.now();
  tick();
});
window.addEventListener("pagehide", () => { if (bearer && !over) call("/leaving", {}, { keepalive: true }).catch(() => {}); });
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
window.addEventListener("hashchange", () => { if (location.hash.includes("t=")) location.reload(); });
setInterval(tick, 250);

try {
  if (await signIn()) await follow();
  else show("stranger-page");
} catch {
  lost();
}
