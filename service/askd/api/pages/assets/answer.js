// What came back, for people: the answer, or what went wrong and what can be done about it.

const AGAIN = 3; // so often in a row the page asks again by itself
const PATIENCE = 60; // seconds that it counts down at most before it does
const box = document.getElementById("answer");
const form = document.getElementById("ask");

function show(...children) {
  box.replaceChildren(...children.filter(Boolean));
}

function facts({ response }) {
  const instance = response.headers.get("x-served-by");
  const id = response.headers.get("x-request-id");
  const status = `${response.status} ${response.statusText}`.trim();
  const parts = [status, instance && `from ${instance}`, id && `id ${id}`];
  return make("p", { className: "facts" }, parts.filter(Boolean).join(" · "));
}

function json(label, value) {
  const code = make("code", {}, JSON.stringify(value, null, 2));
  return make("pre", { tabIndex: 0, role: "group", ariaLabel: label }, code);
}

function pressed(text, act, className = "quiet") {
  const made = make("button", { type: "button", className }, text);
  made.addEventListener("click", act);
  return made;
}

/** Shows the answer and returns its text. */
function showAnswer(result) {
  const { answer, ...others } = result.json ?? { answer: result.text };
  const text = typeof answer === "string" ? answer : JSON.stringify(answer, null, 2);
  const more = Object.keys(others).length ? json("Other fields", others) : null;
  show(make("p", { className: "text" }, text), more, facts(result));
  return text;
}

/** Suggestions as buttons that ask them. */
function suggested(texts) {
  if (!Array.isArray(texts) || !texts.length) return null;
  const buttons = texts.map((text) => {
    const made = make("button", { type: "button", className: "chip" }, String(text));
    made.dataset.ask = text;
    return make("li", {}, made);
  });
  return make("div", {}, make("p", { id: "suggestions" }, "These have an answer:"), list(buttons));
}

function list(items) {
  const made = make("ul", { className: "chips" }, ...items);
  made.setAttribute("aria-labelledby", "suggestions");
  return made;
}

/** Whole seconds that the server wants to be left alone, from a number or a date; null where it does not say. */
function patience({ response }) {
  const told = response.headers.get("retry-after");
  if (!told || ![429, 503].includes(response.status)) return null;
  const seconds = /^\d+$/.test(told) ? Number(told) : Math.ceil((Date.parse(told) - Date.now()) / 1000);
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

/** Counts down to when it may be asked again. Asks then, or offers to where that was done `tries` times already. */
function countdown(seconds, { tries, itself, again }) {
  const alone = tries < AGAIN && seconds <= PATIENCE;
  const due = performance.now() + 1000 * seconds;
  const left = make("span", { role: "timer" });
  const meter = make("div", { className: "countdown", ariaHidden: "true" }, make("i"));
  const now = pressed("Ask now", () => end(again), "");
  const stop = pressed("Do not ask again", () => end(() => left.replaceChildren("Not asked again.")));
  const made = make("div", { className: "again" }, meter, make("p", {}, left), make("p", { className: "actions" }, now, alone ? stop : null));
  function end(act) {
    clearInterval(ticking);
    meter.remove();
    stop.remove();
    act();
  }
  function tick() {
    const rest = (due - performance.now()) / 1000;
    if (!made.isConnected) return clearInterval(ticking);
    if (rest <= 0) return end(alone ? itself : () => left.replaceChildren("It may be asked again."));
    left.textContent = `${alone ? "Asked again" : "It may be asked again"} in ${Math.ceil(rest)} s.`;
    meter.firstChild.style.width = `${(100 * rest) / Math.max(seconds, 1)}%`;
  }
  const ticking = setInterval(tick, 250);
  queueMicrotask(tick);
  return made;
}

/** Asks for the token in a form of its own; `again` asks with it. */
function tokenForm(again) {
  const field = tokenField("token");
  const line = make("div", { className: "line" }, field, make("button", { type: "submit" }, "Ask with it"));
  const note = make("small", { id: "token-note" }, "It stays on this page, in memory, until you leave it or load it again.");
  const made = make("form", { className: "token" }, make("label", { htmlFor: "token" }, "Token"), line, note);
  field.setAttribute("aria-describedby", "token-note");
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    token = field.value.trim();
    form.dataset.guarded = "";
    again();
  });
  return made;
}

/** What can be done about it: a token, a while of patience, or another try. */
function remedy(result, way) {
  const { status } = result.response;
  if (status === 401) return tokenForm(way.again);
  const seconds = patience(result);
  if (seconds !== null) return countdown(seconds, way);
  const hopeful = status >= 500 || result.cut || result.failed;
  return hopeful ? make("p", { className: "actions" }, pressed("Ask again", way.again)) : null;
}

/** Points at the parameter that the problem names. */
function blame(name) {
  const field = name && form.elements.namedItem(name);
  if (!field?.setAttribute) return;
  field.setAttribute("aria-invalid", "true");
  field.focus({ preventScroll: true });
}

/** Shows what went wrong; `text` is the element with what of a stream had come, or null. */
function showProblem(result, text, way) {
  const problem = result.json ?? {};
  const code = String(problem.type ?? "").split("#")[1];
  const title = problem.title ?? (result.cut ? "The stream broke off" : `Status ${result.response.status}`);
  const about = code ? make("p", { className: "facts" }, make("a", { href: `${form.dataset.docs}#${code}` }, "What this means")) : null;
  box.classList.add("failed");
  show(
    text,
    make("h2", {}, title),
    make("p", {}, problem.detail ?? (result.cut ? "The connection closed before the answer was whole." : "No more is known.")),
    "interrupt" in problem ? json("What is asked", problem.interrupt) : null,
    suggested(problem.suggestions),
    remedy(result, way),
    about,
    facts(result),
  );
  blame(problem.parameter);
  if (result.response.status === 401) document.getElementById("token").focus();
}

/** Nothing came back: stopped, without a network, or without a server. */
function showNothing(fault, text, { again }) {
  const stopped = fault.name === "AbortError";
  const offline = !stopped && !navigator.onLine;
  const title = stopped ? "Stopped" : offline ? "You are offline" : "No response";
  const said = stopped
    ? "You stopped it; the server stops its code as well."
    : offline
      ? "The question is asked as soon as the network is back."
      : `${location.host} could not be reached. It may have stopped, or something on the way to it has.`;
  box.classList.add("failed");
  const heading = make("h2", {}, title);
  show(text, heading, make("p", {}, said), make("p", { className: "actions" }, pressed("Ask again", again)));
  if (offline) addEventListener("online", () => heading.isConnected && again(), { once: true });
}
