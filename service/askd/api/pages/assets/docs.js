// "Try it": each form sends its request and shows all that comes back.

function headersOf(response) {
  const lines = [...response.headers].map(([name, text]) => [make("b", {}, `${name}:`), ` ${text}\n`]);
  return scrolling("Headers", "headers", ...lines.flat());
}

function bodyOf(result) {
  const pretty = result.type.endsWith("json") && result.json !== undefined;
  return pretty ? JSON.stringify(result.json, null, 2) : result.text;
}

function scrolling(label, className, ...children) {
  return make("pre", { className, tabIndex: 0, role: "group", ariaLabel: label }, ...children);
}

/** The exchange as one bar of its stages, in the order in which they had it. */
function timeline(result) {
  const labels = Object.fromEntries(STAGES.map((name) => [name, name[0].toUpperCase() + name.slice(1)]));
  const parts = spans(result).map(([name, from, to]) => [name, labels[name], to - from]);
  const made = make("div", { className: "timeline", role: "group", ariaLabel: "Timeline" }, ...strip(parts));
  const told = inside(result).filter(([name]) => name !== "rest" && name !== "code");
  const said = told.map(([name, ms]) => `${name} ${duration(ms)}`).join(", ");
  if (said) made.append(make("small", {}, `The server names: ${said}.`));
  return made;
}

function report(place, result) {
  const { response } = result;
  const took = make("small", {}, duration(result.total));
  const status = make("p", { className: "status" }, `${response.status} ${response.statusText} `, took);
  status.classList.toggle("failed", response.status >= 400);
  const body = result.text ? scrolling("Body", "body", bodyOf(result)) : make("p", {}, "No body.");
  place.replaceChildren(status, timeline(result), headersOf(response), body);
}

async function send(form) {
  form.running?.abort();
  const mine = (form.running = new AbortController());
  const place = form.querySelector(".result");
  const body = scrolling("Body", "body", "…");
  place.replaceChildren(body);
  let text = "";
  const seen = (piece) => (body.textContent = text += piece);
  try {
    report(place, await exchange(requestOf(form), { seen, signal: mine.signal }));
  } catch (fault) {
    if (fault.name === "AbortError") return;
    const said = navigator.onLine ? `${location.host} could not be reached.` : "You are offline.";
    place.replaceChildren(make("p", { className: "status failed" }, "No response"), make("p", {}, said));
  }
}

function copier(form) {
  const made = make("button", { type: "button", className: "quiet" }, "Copy curl");
  made.addEventListener("click", async () => {
    await navigator.clipboard.writeText(curlOf(requestOf(form)));
    made.textContent = "Copied";
  });
  form.addEventListener("input", () => (made.textContent = "Copy curl"));
  return made;
}

/** The field for a token, where the reference asks for one: each guarded operation is tried with it. */
for (const place of document.querySelectorAll("[data-token]")) {
  const field = Object.assign(tokenField("token"), { required: false });
  field.setAttribute("aria-describedby", "token-note");
  field.addEventListener("input", () => (token = field.value.trim()));
  place.querySelector("label").after(field);
  place.addEventListener("submit", (event) => event.preventDefault());
  place.hidden = false;
}

for (const form of document.querySelectorAll("form.try")) {
  const curl = form.querySelector(".curl code");
  const write = () => (curl.textContent = curlOf(requestOf(form)));
  form.addEventListener("input", write);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
  form.querySelector(".send").hidden = false;
  if (navigator.clipboard) form.querySelector(".send").append(copier(form));
  write();
}
