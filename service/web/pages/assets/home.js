// The home page: asks without leaving it, and draws what the exchange took.

const form = document.getElementById("ask");
const box = document.getElementById("answer");
const button = form.querySelector("button");
const stations = document.querySelector(".stations");
const glosses = [...stations.querySelectorAll("[data-gloss]")].map((gloss) => [gloss, gloss.textContent]);
let running = null;

function show(...children) {
  box.replaceChildren(...children.filter(Boolean));
}

function facts(result) {
  const { response } = result;
  const instance = response.headers.get("x-served-by");
  const id = response.headers.get("x-request-id");
  const again = response.headers.get("retry-after");
  const status = `${response.status} ${response.statusText}`.trim();
  const parts = [status, instance && `from ${instance}`, id && `id ${id}`, again && `ask again in ${again} s`];
  return make("p", { className: "facts" }, parts.filter(Boolean).join(" · "));
}

function link(text) {
  const made = make("a", { href: `${form.getAttribute("action")}?${new URLSearchParams({ q: text })}` }, text);
  made.dataset.ask = text;
  return made;
}

function showAnswer(result) {
  const { answer, ...others } = result.json ?? { answer: result.text };
  const text = typeof answer === "string" ? answer : JSON.stringify(answer, null, 2);
  const more = Object.keys(others).length
    ? make("pre", { tabIndex: 0, role: "group", ariaLabel: "Other fields" }, make("code", {}, JSON.stringify(others, null, 2)))
    : null;
  show(make("p", { className: "text" }, text), more, facts(result));
}

function showProblem(result) {
  const problem = result.json ?? {};
  const code = String(problem.type ?? "").split("#")[1];
  const suggestions = Array.isArray(problem.suggestions) ? problem.suggestions : [];
  show(
    make("h2", {}, problem.title ?? (result.cut ? "The stream broke off" : `Status ${result.response.status}`)),
    make("p", {}, problem.detail ?? "No more is known.", " "),
    suggestions.length ? make("ul", {}, ...suggestions.map((text) => make("li", {}, link(String(text))))) : null,
    code ? make("p", { className: "facts" }, make("a", { href: `${form.dataset.docs}#${code}` }, "What this means")) : null,
    facts(result),
  );
}

/** A bar from `from` to `to`, both as parts of the whole. */
function bar(from, to) {
  const made = make("i");
  made.style.left = `${100 * from}%`;
  made.style.width = `${100 * Math.max(0, to - from)}%`;
  return made;
}

function station(name, time, bars, gloss) {
  const row = stations.querySelector(`[data-stage="${name}"]`);
  row.querySelector(".time").textContent = time === null ? "" : duration(time);
  row.querySelector(".track").replaceChildren(...bars);
  if (gloss) row.querySelector("[data-gloss]").textContent = gloss;
}

/** To scale, one within the other: of what is under way and not the server's, half is before it, half after. */
function draw(result) {
  stations.classList.add("measured");
  for (const name of ["network", "server", "code", "response"]) station(name, null, []);
  station("client", result.total, [bar(0, 1)]);
  if (result.first !== null) drawStream(result);
  else if (result.stages.total !== undefined) drawStages(result);
  document.getElementById("note").textContent = note(result);
}

/** Draws the way to the server and back between `sent` and `got`; returns where the server began and ended. */
function drawWay(whole, sent, got, server) {
  const half = Math.max(0, got - sent - server) / 2;
  station("network", 2 * half, [bar(sent / whole, (sent + half) / whole), bar((got - half) / whole, got / whole)]);
  return [(sent + half) / whole, (got - half) / whole];
}

function drawStages({ response, text, stages: took, total, sent, got }) {
  const server = Math.min(took.total, got - sent);
  const [code, render] = [Math.min(took.code ?? 0, server), Math.min(took.render ?? 0, server)];
  const [start, end] = drawWay(total, sent, got, server);
  const written = end - render / total;
  const waited = took.queue === undefined ? null : `${duration(took.queue)} in line`;
  station("server", server - code - render, [bar(start, end)], waited);
  if (took.code === undefined) station("code", null, [], "not needed this time");
  else station("code", code, [bar(written - code / total, written)]);
  station("response", took.render ?? null, took.render === undefined ? [] : [bar(written, end)], size(response, text));
}

/** A stream's headers leave with its first words: what the server took until then is the code's for the most part. */
function drawStream({ response, text, first, total, sent, stages: took }) {
  const [start, end] = drawWay(total, Math.min(sent, first), first, Math.min(took.total ?? 0, first));
  station("server", null, [bar(start, end)], "in the code's time");
  station("code", took.total ?? null, [bar(start, 1)], "until the first words");
  station("response", total - first, [bar(first / total, 1)], size(response, text));
}

function size(response, text) {
  return `${response.status}, ${new TextEncoder().encode(text).length} bytes`;
}

function note(result) {
  if (result.first !== null) return `The first words came after ${duration(result.first)}.`;
  if (result.stages.total === undefined) return "The server told no times.";
  return "To scale. What no other bar covers is the browser's own.";
}

function curl() {
  document.getElementById("curl").textContent = curlOf(requestOf(form));
  document.getElementById("curl-box").hidden = form.elements.q.value === "";
}

function busy(is) {
  box.setAttribute("aria-busy", is);
  button.textContent = is ? "Stop" : "Ask";
}

function waiting() {
  for (const [gloss, text] of glosses) gloss.textContent = text;
  box.classList.remove("failed");
  show(make("p", { className: "waiting" }, "Asking…"));
}

async function ask() {
  running?.abort();
  const mine = (running = new AbortController());
  const request = requestOf(form);
  request.headers.Accept = form.dataset.streams !== undefined ? "text/event-stream" : "application/json";
  history.replaceState(null, "", `?${new URL(request.url).searchParams}`);
  waiting();
  busy(true);
  let text = null;
  const delta = (piece) => {
    if (!text) show((text = make("p", { className: "text" })));
    text.append(piece);
  };
  try {
    const result = await exchange(request, { delta, signal: mine.signal });
    const failed = !result.response.ok || result.failed || result.cut;
    box.classList.toggle("failed", Boolean(failed));
    (failed ? showProblem : showAnswer)(result);
    draw(result);
  } catch (fault) {
    if (running !== mine) return;
    box.classList.add("failed");
    const stopped = fault.name === "AbortError";
    const said = stopped ? "You stopped it; the server stops its code as well." : "The server could not be reached.";
    show(text, make("h2", {}, stopped ? "Stopped" : "No response"), make("p", {}, said));
  }
  if (running === mine) {
    running = null;
    busy(false);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running && event.submitter === button) running.abort();
  else ask();
});
form.addEventListener("input", curl);
form.elements.q.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
document.addEventListener("click", (event) => {
  const text = event.target.closest?.("a[data-ask]")?.dataset.ask;
  if (text === undefined || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  form.elements.q.value = text;
  form.elements.q.focus();
  curl();
  form.requestSubmit();
});
for (const later of form.querySelectorAll("[data-later]")) later.disabled = later.hidden = false;
for (const [name, text] of new URLSearchParams(location.search)) {
  const field = form.elements.namedItem(name);
  if (field && "value" in field) field.value = text;
}
curl();
if (form.elements.q.value) form.requestSubmit();
else form.elements.q.focus({ preventScroll: true });
