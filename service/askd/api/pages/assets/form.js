// A form becomes a request, and a request a curl line.

const READERS = {
  string: (text) => text,
  boolean: (text) => (text === "true" ? true : text === "false" ? false : text),
  integer: (text) => (/^-?\d+$/.test(text.trim()) ? Number(text) : text),
  number: (text) => (text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text),
  json: (text) => parsed(text) ?? text,
};

function lines(text) {
  return text.split("\n").filter((line) => line.trim() !== "");
}

function value(field) {
  const { type, items } = field.dataset;
  if (type === "array") return lines(field.value).map(READERS[items] ?? READERS.json);
  return READERS[type](field.value);
}

/** Empty optional fields are not sent; an empty question is, so that one can see what comes of it. */
function given(form, place) {
  return [...form.querySelectorAll(`[data-in="${place}"]`)].filter(
    (field) => !field.disabled && !field.closest("fieldset:disabled") && (field.value !== "" || field.required),
  );
}

/** Pairs of name and text, as a query or a form has them: a list repeats its name. */
function pairs(fields) {
  return new URLSearchParams(
    fields.flatMap((field) =>
      (field.dataset.type === "array" ? lines(field.value) : [field.value]).map((text) => [field.name, text]),
    ),
  );
}

/** A token that was given on this page: kept here alone, and gone when the page is left or loaded again. */
let token = "";

/** The field that takes it. No password manager keeps a one-time code. */
function tokenField(id) {
  return make("input", { id, type: "password", autocomplete: "one-time-code", spellcheck: false, required: true });
}

/** `guarded` tells whether a token is asked for; the request has it where one was given. */
function requestOf(form) {
  const guarded = form.dataset.guarded !== undefined;
  const headers = Object.fromEntries(given(form, "header").map((field) => [field.name, field.value.trim()]));
  if (guarded && token) headers.Authorization = `Bearer ${token}`;
  const query = pairs(given(form, "query")).toString();
  const url = new URL(form.getAttribute("action") + (query ? `?${query}` : ""), location.href).href;
  const fields = given(form, "body");
  let body;
  if (headers["Content-Type"]?.includes("urlencoded")) body = pairs(fields).toString();
  else if (fields.length) body = JSON.stringify(Object.fromEntries(fields.map((field) => [field.name, value(field)])));
  return { method: form.dataset.method, url, headers, body, guarded };
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The token itself stays out of the line: it would be copied into places where it does not belong. */
function curlOf({ method, url, headers, body, guarded }) {
  const words = ["curl", ...(headers.Accept === "text/event-stream" ? ["-N"] : []), quoted(url)];
  if (guarded) words.push("-H", '"Authorization: Bearer $ASKD_TOKEN"');
  for (const [name, text] of Object.entries(headers)) {
    if (name !== "Authorization") words.push("-H", quoted(`${name}: ${text}`));
  }
  if (body !== undefined) words.push("--data-raw", quoted(body));
  else if (method !== "GET") words.push("-X", method);
  return words.join(" ");
}
