// Shows the answer, or the problem and what the user can do about it.

const MAX_AUTOMATIC_RETRIES = 3; // in a row
const MAX_AUTOMATIC_WAIT = 60; // seconds; if the server asks for more, the user decides when to retry
const answerSection = document.getElementById("answer");
const form = document.getElementById("ask");

function setAnswerContent(...children) {
  answerSection.replaceChildren(...children.filter(Boolean));
}

/** Status, server instance and request id of a response. */
function createMetadata({ response }) {
  const instance = response.headers.get("x-served-by");
  const id = response.headers.get("x-request-id");
  const status = `${response.status} ${response.statusText}`.trim();
  const parts = [status, instance && `from ${instance}`, id && `id ${id}`];
  return createElement("p", { className: "metadata" }, parts.filter(Boolean).join(" · "));
}

function createJsonBlock(label, value) {
  const code = createElement("code", {}, JSON.stringify(value, null, 2));
  return createElement("pre", { tabIndex: 0, role: "group", ariaLabel: label }, code);
}

function createFieldsBlock(fields) {
  return Object.keys(fields).length ? createJsonBlock("Other fields", fields) : null;
}

function createButton(text, onClick, className = "secondary") {
  const button = createElement("button", { type: "button", className }, text);
  button.addEventListener("click", onClick);
  return button;
}

/** Shows the answer. */
function showAnswer(result) {
  const { answer, ...fields } = result.json ?? { answer: result.text };
  const text = typeof answer === "string" ? answer : JSON.stringify(answer, null, 2);
  setAnswerContent(createElement("p", { className: "text" }, text), createFieldsBlock(fields), createMetadata(result));
}

/** Buttons that ask the suggested questions. */
function createSuggestions(texts) {
  if (!Array.isArray(texts) || !texts.length) return null;
  const items = texts.map((text) => {
    const button = createElement("button", { type: "button", className: "chip" }, String(text));
    button.dataset.ask = text;
    return createElement("li", {}, button);
  });
  const list = createElement("ul", { className: "chips" }, ...items);
  list.setAttribute("aria-labelledby", "suggestions");
  const label = createElement("p", { id: "suggestions" }, "Questions that have an answer:");
  return createElement("div", { className: "suggestions" }, label, list);
}

/** Returns Retry-After in seconds, whether it is a number or a date; null if the response does not have it. */
function retryAfter({ response }) {
  const header = response.headers.get("retry-after");
  if (!header || ![429, 503].includes(response.status)) return null;
  const seconds = /^\d+$/.test(header) ? Number(header) : Math.ceil((Date.parse(header) - Date.now()) / 1000);
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

/**
 * Counts down the seconds until a retry. Then the page retries automatically, or leaves it to the user after too many
 * automatic retries (`attempts`) or a long wait.
 */
function createCountdown(seconds, { attempts, retryAutomatically, retry }) {
  const isAutomatic = attempts < MAX_AUTOMATIC_RETRIES && seconds <= MAX_AUTOMATIC_WAIT;
  const due = performance.now() + 1000 * seconds;
  const message = createElement("span", { role: "timer" });
  const meter = createElement("div", { className: "countdown", ariaHidden: "true" }, createElement("i"));
  const retryButton = createButton("Retry now", () => end(retry), "");
  const cancelButton = createButton("Cancel retry", () => end(() => message.replaceChildren("Retry cancelled.")));
  const actions = createElement("p", { className: "actions" }, retryButton, isAutomatic ? cancelButton : null);
  const container = createElement("div", { className: "retry" }, meter, createElement("p", {}, message), actions);
  function end(action) {
    clearInterval(timer);
    meter.remove();
    cancelButton.remove();
    action();
  }
  function update() {
    const remaining = (due - performance.now()) / 1000;
    if (!container.isConnected) return clearInterval(timer);
    if (remaining <= 0) return end(isAutomatic ? retryAutomatically : () => message.replaceChildren("You can retry now."));
    message.textContent = `${isAutomatic ? "Retrying" : "You can retry"} in ${Math.ceil(remaining)} s.`;
    meter.firstChild.style.width = `${(100 * remaining) / Math.max(seconds, 1)}%`;
  }
  const timer = setInterval(update, 250);
  queueMicrotask(update);
  return container;
}

/** A form for the token; submitting it repeats the request with the token. */
function createTokenForm(retry) {
  const field = createTokenField("token");
  const button = createElement("button", { type: "submit" }, "Send with token");
  const line = createElement("div", { className: "line" }, field, button);
  const note = createElement(
    "small",
    { id: "token-note" },
    "The token is only kept in memory until you leave or reload this page.",
  );
  const label = createElement("label", { htmlFor: "token" }, "Token");
  const tokenForm = createElement("form", { className: "token" }, label, line, note);
  field.setAttribute("aria-describedby", "token-note");
  tokenForm.addEventListener("submit", (event) => {
    event.preventDefault();
    token = field.value.trim();
    form.dataset.requiresToken = "";
    retry();
  });
  return tokenForm;
}

/** Controls that fit the problem: a form for the token, a countdown, a retry button, or nothing. */
function createProblemControls(result, retryOptions) {
  const { status } = result.response;
  if (status === 401) return createTokenForm(retryOptions.retry);
  const seconds = retryAfter(result);
  if (seconds !== null) return createCountdown(seconds, retryOptions);
  const mayRetry = status >= 500 || result.isTruncated || result.failed;
  return mayRetry ? createElement("p", { className: "actions" }, createButton("Retry", retryOptions.retry)) : null;
}

function markInvalidField(name) {
  const field = name && form.elements.namedItem(name);
  if (!field?.setAttribute) return;
  field.setAttribute("aria-invalid", "true");
  field.focus({ preventScroll: true });
}

/** Shows a problem. `textElement` contains the part of a stream that was received before it, or is null. */
function showProblem(result, textElement, retryOptions) {
  const problem = result.json ?? {};
  const code = String(problem.type ?? "").split("#")[1];
  const title = problem.title ?? (result.isTruncated ? "The stream ended early" : `Status ${result.response.status}`);
  const fallback = result.isTruncated
    ? "The connection was closed before the answer was complete."
    : "The server sent no details.";
  const link = code ? createElement("a", { href: `${form.dataset.docs}#${code}` }, "About this problem") : null;
  answerSection.classList.add("failed");
  setAnswerContent(
    textElement,
    createElement("h2", {}, title),
    createElement("p", {}, problem.detail ?? fallback),
    createSuggestions(problem.suggestions),
    createProblemControls(result, retryOptions),
    link && createElement("p", { className: "metadata" }, link),
    createMetadata(result),
  );
  markInvalidField(problem.parameter);
  if (result.response.status === 401) document.getElementById("token").focus();
}

/**
 * Shows the input that a graph asks for: a text, or an object, whose field `question` is shown as a text. `textElement`
 * contains the part of a stream that was received before it.
 */
function showInterrupt(result, textElement) {
  const { interrupt } = result.json;
  const hasQuestion = typeof interrupt?.question === "string";
  const { question, ...fields } = hasQuestion ? interrupt : { question: interrupt };
  const isText = typeof question === "string";
  setAnswerContent(
    textElement,
    createElement("h2", {}, "Reply needed"),
    isText ? createElement("p", { className: "text" }, question) : createJsonBlock("Requested input", question),
    createFieldsBlock(fields),
    createMetadata(result),
  );
}

/** Shows that there is no response: the request was cancelled, the browser is offline, or the server is unreachable. */
function showNoResponse(error, textElement, { retry }) {
  const isCancelled = error.name === "AbortError";
  const isOffline = !isCancelled && !navigator.onLine;
  const title = isCancelled ? "Cancelled" : isOffline ? "You are offline" : "No response";
  const detail = isCancelled
    ? "You cancelled the request. The server stops working on it."
    : isOffline
      ? "The question will be sent when you are online again."
      : `${location.host} could not be reached. The server may be down, or the network may have a problem.`;
  answerSection.classList.add("failed");
  const heading = createElement("h2", {}, title);
  const actions = createElement("p", { className: "actions" }, createButton("Retry", retry));
  setAnswerContent(textElement, heading, createElement("p", {}, detail), actions);
  if (isOffline) addEventListener("online", () => heading.isConnected && retry(), { once: true });
}
