// The home page: sends questions without leaving the page, and shows a timeline of each request.

const askButton = form.querySelector("button");
const stageList = document.querySelector(".stages");
const defaultDescriptions = Object.fromEntries(
  [...stageList.querySelectorAll("[data-description]")].map((element) => [
    element.closest("li").dataset.stage,
    element.textContent,
  ]),
);
let currentRequest = null; // its AbortController

/** Describes the stages of this request; stages that are missing have their default descriptions. */
function describeStages(result) {
  const { response, serverTiming, firstDeltaAt, connection } = result;
  const isCacheHit = /;\s*hit/.test(response.headers.get("cache-status") ?? "");
  const instance = response.headers.get("x-served-by");
  const queued = serverTiming.queue === undefined ? "" : `, ${formatDuration(serverTiming.queue)} in the queue`;
  let answerer = null;
  if (firstDeltaAt !== null) answerer = "time to the first words";
  else if (serverTiming.answerer === undefined) answerer = isCacheHit ? "skipped: cache hit" : "not called";
  return {
    network: connection,
    server: instance && instance + queued,
    answerer,
    response: `${response.status}, ${new TextEncoder().encode(result.text).length} bytes`,
  };
}

function updateStage(row, ms, bars, description) {
  row.querySelector(".time").textContent = ms > 0 ? formatDuration(ms) : "–";
  row.querySelector(".track").replaceChildren(...bars);
  row.querySelector("[data-description]").textContent = description;
}

/** Shows one request as a waterfall: each stage has a row, all of them on one scale. */
function showTimeline({ number, question, result, durations }) {
  const spans = stageSpans(result);
  const descriptions = describeStages(result);
  stageList.classList.add("measured");
  for (const row of stageList.children) {
    const { stage } = row.dataset;
    const bars = spans.filter(([name]) => name === stage).map(([, from, to]) => createBar(stage, from, to, result.total));
    updateStage(row, durations[stage], bars, descriptions[stage] || defaultDescriptions[stage]);
  }
  document.getElementById("timeline-note").textContent = `Request ${number}, “${question}”: ${timelineNote(result)}`;
  document.getElementById("total-time").textContent = formatDuration(result.total);
  const serverSection = document.getElementById("server-stages");
  serverSection.hidden = result.serverTiming.total === undefined;
  if (serverSection.hidden) return;
  serverSection.querySelector("b").textContent = formatDuration(result.serverTiming.total);
  const parts = serverStages(result).map(([name, ms]) => [name, name, ms]);
  serverSection.querySelector("div").replaceChildren(...createStackedBar(parts));
}

function timelineNote({ firstDeltaAt, serverTiming }) {
  if (firstDeltaAt !== null) return `first words after ${formatDuration(firstDeltaAt)}.`;
  return serverTiming.total === undefined ? "the server sent no timings." : "all bars have the same scale.";
}

function updateCurl() {
  document.getElementById("curl").textContent = curlCommand(buildRequest(form));
  document.getElementById("curl-box").hidden = form.elements.q.value === "";
}

function setBusy(isBusy) {
  answerSection.setAttribute("aria-busy", isBusy);
  askButton.textContent = isBusy ? "Cancel" : isReply ? "Reply" : "Ask";
}

function showWaiting(attempts) {
  for (const field of form.elements) field.removeAttribute("aria-invalid");
  answerSection.classList.remove("failed");
  // The focused button is about to be removed: keep the focus near it.
  if (answerSection.contains(document.activeElement)) answerSection.focus({ preventScroll: true });
  const text = attempts ? `Retrying (${attempts} of ${MAX_AUTOMATIC_RETRIES})…` : "Waiting for the answer…";
  setAnswerContent(createElement("p", { className: "waiting" }, text));
}

/** Puts the question into the address, so that the answer can be shared; of a conversation, only its thread. */
function updateAddress({ url }) {
  const parameters = new URL(url).searchParams;
  if (turnList) parameters.delete("q");
  history.replaceState(null, "", `?${parameters}`);
}

/** Sends the question in the form. */
function ask() {
  currentRequest?.abort();
  const request = buildRequest(form);
  const question = form.elements.q.value;
  request.headers.Accept = form.dataset.streams !== undefined ? "text/event-stream" : "application/json";
  updateAddress(request);
  addTurn(question);
  expectReply(false);
  return send(request, question);
}

/** Sends a request and shows the result; `attempts` is the number of automatic retries in a row. */
async function send(request, question, attempts = 0) {
  currentRequest?.abort();
  const controller = (currentRequest = new AbortController());
  const retry = () => send(addToken({ ...request, requiresToken: request.requiresToken || token !== "" }), question);
  const retryOptions = { attempts, retryAutomatically: () => send(request, question, attempts + 1), retry };
  let textElement = null;
  showWaiting(attempts);
  setBusy(true);
  const onDelta = (piece) => {
    if (currentRequest !== controller) return;
    if (!textElement) setAnswerContent((textElement = createElement("p", { className: "text" })));
    textElement.append(piece);
  };
  try {
    const result = await sendRequest(request, { onDelta, signal: controller.signal });
    if (currentRequest !== controller) return;
    const isInterrupt = String(result.json?.type).endsWith("#interrupted");
    const failed = !isInterrupt && Boolean(!result.response.ok || result.failed || result.isTruncated);
    if (isInterrupt) showInterrupt(result, textElement);
    else if (failed) showProblem(result, textElement, retryOptions);
    else showAnswer(result);
    expectReply(isInterrupt);
    if (result.response.status === 400) form.elements.q.value ||= question; // to correct it
    addToHistory(result, question, failed);
  } catch (error) {
    if (currentRequest !== controller) return;
    showNoResponse(error, textElement, retryOptions);
  }
  currentRequest = null;
  setBusy(false);
  if (turnList) form.scrollIntoView({ block: "nearest" });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (currentRequest && event.submitter === askButton) currentRequest.abort();
  else ask();
});
form.addEventListener("input", updateCurl);
form.elements.q.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
// Examples and suggestions.
document.addEventListener("click", (event) => {
  const text = event.target.closest?.("[data-ask]")?.dataset.ask;
  if (text === undefined || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  form.elements.q.value = text;
  updateCurl();
  form.requestSubmit();
});
for (const fieldset of form.querySelectorAll("[data-needs-script]")) fieldset.disabled = fieldset.hidden = false;
for (const [name, text] of new URLSearchParams(location.search)) {
  const field = form.elements.namedItem(name);
  if (field && "value" in field) field.value = text;
}
updateCurl();
if (form.elements.q.value) form.requestSubmit();
else form.elements.q.focus({ preventScroll: true });
