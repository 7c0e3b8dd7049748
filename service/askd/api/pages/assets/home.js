// The home page: asks without leaving it, and draws what the exchange took.

const button = form.querySelector("button");
const stations = document.querySelector(".stations");
const glosses = Object.fromEntries(
  [...stations.querySelectorAll("[data-gloss]")].map((gloss) => [gloss.closest("li").dataset.part, gloss.textContent]),
);
const turns = document.getElementById("turns");
let running = null;
let turn = null; // the last one of a thread

function size({ response, text }) {
  return `${response.status}, ${new TextEncoder().encode(text).length} bytes`;
}

/** What is known of each stage of this exchange; what is not has its general words. */
function said(result) {
  const { response, stages: took, first, way } = result;
  const hit = /;\s*hit/.test(response.headers.get("cache-status") ?? "");
  const instance = response.headers.get("x-served-by");
  const waited = took.queue === undefined ? "" : `, ${duration(took.queue)} in line`;
  const code = took.code === undefined && first === null ? (hit ? "kept in the cache" : "not needed this time") : null;
  return {
    network: way,
    server: instance && instance + waited,
    code: code ?? (first === null ? null : "until the first words"),
    response: size(result),
  };
}

function station(row, time, bars, gloss) {
  row.querySelector(".time").textContent = time > 0 ? duration(time) : "–";
  row.querySelector(".track").replaceChildren(...bars);
  row.querySelector("[data-gloss]").textContent = gloss;
}

/** Draws one exchange of this page to scale, stage below stage. */
function draw({ number, question, result, shares }) {
  const [parts, glossed] = [spans(result), said(result)];
  stations.classList.add("measured");
  for (const row of stations.children) {
    const name = row.dataset.part;
    const bars = parts.filter(([stage]) => stage === name).map(([, from, to]) => placed(name, from, to, result.total));
    station(row, shares[name], bars, glossed[name] || glosses[name]);
  }
  document.getElementById("note").textContent = `Number ${number}, “${question}”: ${note(result)}`;
  document.getElementById("whole").textContent = duration(result.total);
  const within = document.getElementById("inside");
  within.hidden = result.stages.total === undefined;
  if (within.hidden) return;
  within.querySelector("b").textContent = duration(result.stages.total);
  within.querySelector("div").replaceChildren(...strip(inside(result).map(([name, ms]) => [name, name, ms])));
}

function note({ first, stages: took }) {
  if (first !== null) return `the first words came after ${duration(first)}.`;
  return took.total === undefined ? "the server told no times." : "all bars to one scale.";
}

function curl() {
  document.getElementById("curl").textContent = curlOf(requestOf(form));
  document.getElementById("curl-box").hidden = form.elements.q.value === "";
}

function busy(is) {
  box.setAttribute("aria-busy", is);
  button.textContent = is ? "Stop" : "Ask";
}

/** Shows the earlier turns of the thread that this one belongs to; another thread begins with none. */
function remembered(thread, question, text) {
  if (!thread || thread !== turn?.thread) turns.replaceChildren();
  else turns.append(make("dt", {}, turn.question), make("dd", {}, turn.text));
  turns.parentElement.hidden = turns.children.length === 0;
  turn = thread ? { thread, question, text } : null;
}

function waiting(tries) {
  for (const field of form.elements) field.removeAttribute("aria-invalid");
  box.classList.remove("failed");
  if (box.contains(document.activeElement)) box.focus({ preventScroll: true });
  show(make("p", { className: "waiting" }, tries ? `Asking again, ${tries} of ${AGAIN}…` : "Asking…"));
}

/** Asks what stands in the form; `tries` counts how often the page did so by itself. */
async function ask(tries = 0) {
  running?.abort();
  const mine = (running = new AbortController());
  const request = requestOf(form);
  const question = form.elements.q.value;
  const thread = form.elements.namedItem("thread")?.value;
  request.headers.Accept = form.dataset.streams !== undefined ? "text/event-stream" : "application/json";
  history.replaceState(null, "", `?${new URL(request.url).searchParams}`);
  const way = { tries, itself: () => ask(tries + 1), again: () => ask() };
  let text = null;
  waiting(tries);
  busy(true);
  const delta = (piece) => {
    if (running !== mine) return;
    if (!text) show((text = make("p", { className: "text" })));
    text.append(piece);
  };
  try {
    const result = await exchange(request, { delta, signal: mine.signal });
    if (running !== mine) return;
    const failed = Boolean(!result.response.ok || result.failed || result.cut);
    if (failed) showProblem(result, text, way);
    else remembered(thread, question, showAnswer(result));
    remember(result, question, failed);
  } catch (fault) {
    if (running !== mine) return;
    showNothing(fault, text, way);
  }
  running = null;
  busy(false);
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
  const text = event.target.closest?.("[data-ask]")?.dataset.ask;
  if (text === undefined || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  form.elements.q.value = text;
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
