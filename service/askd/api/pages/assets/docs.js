// "Try it": each form sends its request and shows the complete response.

function createHeaderBlock(response) {
  const lines = [...response.headers].map(([name, value]) => [createElement("b", {}, `${name}:`), ` ${value}\n`]);
  return createScrollBlock("Headers", "headers", ...lines.flat());
}

function formatBody(result) {
  const isJson = result.mediaType.endsWith("json") && result.json !== undefined;
  return isJson ? JSON.stringify(result.json, null, 2) : result.text;
}

function createScrollBlock(label, className, ...children) {
  return createElement("pre", { className, tabIndex: 0, role: "group", ariaLabel: label }, ...children);
}

/** The request as one bar of its stages in chronological order. */
function createTimeline(result) {
  const parts = stageSpans(result).map(([stage, from, to]) => [stage, STAGE_LABELS[stage], to - from]);
  const properties = { className: "timeline", role: "group", ariaLabel: "Timeline" };
  const timeline = createElement("div", properties, ...createStackedBar(parts));
  // The bar shows the answerer already.
  const stages = serverStages(result).filter(([name]) => name !== "other" && name !== "answerer");
  const text = stages.map(([name, ms]) => `${name} ${formatDuration(ms)}`).join(", ");
  if (text) timeline.append(createElement("small", {}, `Server stages: ${text}.`));
  return timeline;
}

function showResult(container, result) {
  const { response } = result;
  const duration = createElement("small", {}, formatDuration(result.total));
  const status = createElement("p", { className: "status" }, `${response.status} ${response.statusText} `, duration);
  status.classList.toggle("failed", response.status >= 400);
  const body = result.text ? createScrollBlock("Body", "body", formatBody(result)) : createElement("p", {}, "No body.");
  container.replaceChildren(status, createTimeline(result), createHeaderBlock(response), body);
}

async function send(form) {
  form.abortController?.abort();
  const controller = (form.abortController = new AbortController());
  const container = form.querySelector(".result");
  const body = createScrollBlock("Body", "body", "…");
  container.replaceChildren(body);
  let text = "";
  const onChunk = (chunk) => (body.textContent = text += chunk);
  try {
    showResult(container, await sendRequest(buildRequest(form), { onChunk, signal: controller.signal }));
  } catch (error) {
    if (error.name === "AbortError") return;
    const detail = navigator.onLine ? `${location.host} could not be reached.` : "You are offline.";
    const status = createElement("p", { className: "status failed" }, "No response");
    container.replaceChildren(status, createElement("p", {}, detail));
  }
}

function createCopyButton(form) {
  const button = createElement("button", { type: "button", className: "secondary" }, "Copy curl");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(curlCommand(buildRequest(form)));
    button.textContent = "Copied";
  });
  form.addEventListener("input", () => (button.textContent = "Copy curl"));
  return button;
}

// The token is sent with every operation that requires one.
for (const container of document.querySelectorAll("[data-token]")) {
  const field = Object.assign(createTokenField("token"), { required: false });
  field.setAttribute("aria-describedby", "token-note");
  field.addEventListener("input", () => (token = field.value.trim()));
  container.querySelector("label").after(field);
  container.addEventListener("submit", (event) => event.preventDefault());
  container.hidden = false;
}

for (const form of document.querySelectorAll("form.try")) {
  const curl = form.querySelector(".curl code");
  const updateCurl = () => (curl.textContent = curlCommand(buildRequest(form)));
  form.addEventListener("input", updateCurl);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
  form.querySelector(".send").hidden = false;
  if (navigator.clipboard) form.querySelector(".send").append(createCopyButton(form));
  updateCurl();
}
