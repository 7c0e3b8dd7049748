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

let language = "curl"; // of the samples

function sampleText(form) {
  return SAMPLE_LANGUAGES[language](buildRequest(form));
}

/** The choice of the language, which applies to the samples of all operations. */
function createLanguageChoice(form) {
  const choices = Object.keys(SAMPLE_LANGUAGES).map((name) => {
    const radio = createElement("input", { type: "radio", name: `${form.getAttribute("id")}-language`, value: name, checked: name === language });
    radio.addEventListener("change", () => chooseLanguage(name));
    return createElement("label", {}, radio, createElement("span", {}, name));
  });
  const group = createElement("div", { className: "languages", role: "radiogroup", ariaLabel: "Language of the sample" }, ...choices);
  form.querySelector(".sample").before(group);
}

function chooseLanguage(name) {
  language = name;
  for (const radio of document.querySelectorAll(".languages input")) radio.checked = radio.value === name;
  document.querySelectorAll("form.try").forEach(updateSample);
}

function updateSample(form) {
  form.querySelector(".sample code").textContent = sampleText(form);
  const copyButton = form.querySelector(".copy");
  if (copyButton) copyButton.textContent = "Copy";
}

function createCopyButton(form) {
  const button = createElement("button", { type: "button", className: "secondary copy" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(sampleText(form));
    button.textContent = "Copied";
  });
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
  form.addEventListener("input", () => updateSample(form));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
  createLanguageChoice(form);
  form.querySelector(".send").hidden = false;
  if (navigator.clipboard) form.querySelector(".send").append(createCopyButton(form));
  updateSample(form);
}
