// "Try it": each form sends its request and shows all that comes back.

function headersOf(response) {
  return [...response.headers].map(([name, text]) => `${name}: ${text}`).join("\n");
}

function bodyOf(result) {
  const pretty = result.type.endsWith("json") && result.json !== undefined;
  return pretty ? JSON.stringify(result.json, null, 2) : result.text;
}

function report(place, result) {
  const { response } = result;
  const took = make("small", {}, duration(result.total));
  const status = make("p", { className: "status" }, `${response.status} ${response.statusText} `, took);
  status.classList.toggle("failed", response.status >= 400);
  const headers = make("pre", { className: "headers", tabIndex: 0, role: "group", ariaLabel: "Headers" }, headersOf(response));
  const body = make("pre", { tabIndex: 0, role: "group", ariaLabel: "Body" }, bodyOf(result));
  place.replaceChildren(status, headers, result.text ? body : make("p", {}, "No body."));
}

async function send(form) {
  form.running?.abort();
  const mine = (form.running = new AbortController());
  const place = form.querySelector(".result");
  const body = make("pre", { tabIndex: 0, role: "group", ariaLabel: "Body" }, "…");
  place.replaceChildren(body);
  let text = "";
  const seen = (piece) => (body.textContent = text += piece);
  try {
    report(place, await exchange(requestOf(form), { seen, signal: mine.signal }));
  } catch (fault) {
    if (fault.name === "AbortError") return;
    place.replaceChildren(make("p", { className: "status failed" }, `No response: ${fault.message}`));
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
