// Converts a form to a request, and a request to a curl command.

const VALUE_PARSERS = {
  string: (text) => text,
  boolean: (text) => (text === "true" ? true : text === "false" ? false : text),
  integer: (text) => (/^-?\d+$/.test(text.trim()) ? Number(text) : text),
  number: (text) => (text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text),
  json: (text) => parseJson(text) ?? text,
};

function splitLines(text) {
  return text.split("\n").filter((line) => line.trim() !== "");
}

function fieldValue(field) {
  const { type, items } = field.dataset;
  if (type === "array") return splitLines(field.value).map(VALUE_PARSERS[items] ?? VALUE_PARSERS.json);
  return VALUE_PARSERS[type](field.value);
}

/** Returns the fields to send in this part of the request. Empty fields are omitted unless they are required. */
function fieldsIn(form, location) {
  return [...form.querySelectorAll(`[data-in="${location}"]`)].filter(
    (field) => !field.disabled && !field.closest("fieldset:disabled") && (field.value !== "" || field.required),
  );
}

/** Encodes the fields for a query string or a form body: an array repeats its name. */
function urlEncode(fields) {
  return new URLSearchParams(
    fields.flatMap((field) =>
      (field.dataset.type === "array" ? splitLines(field.value) : [field.value]).map((text) => [field.name, text]),
    ),
  ).toString();
}

/** Token entered on this page. It is only kept in memory, and lost when the page is left or reloaded. */
let token = "";

/** Creates the field for the token. Password managers do not store fields for one-time codes. */
function createTokenField(id) {
  return createElement("input", { id, type: "password", autocomplete: "one-time-code", spellcheck: false, required: true });
}

/** Adds the token to a request that requires one; returns the request. */
function addToken(request) {
  if (request.requiresToken && token) request.headers.Authorization = `Bearer ${token}`;
  return request;
}

function buildRequest(form) {
  const requiresToken = form.dataset.requiresToken !== undefined;
  const headers = Object.fromEntries(fieldsIn(form, "header").map((field) => [field.name, field.value.trim()]));
  const query = urlEncode(fieldsIn(form, "query"));
  let path = form.getAttribute("action");
  for (const field of fieldsIn(form, "path")) path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
  const url = new URL(path + (query ? `?${query}` : ""), location.href).href;
  const fields = fieldsIn(form, "body");
  let body;
  if (headers["Content-Type"]?.includes("urlencoded")) body = urlEncode(fields);
  else if (fields.length) body = JSON.stringify(Object.fromEntries(fields.map((field) => [field.name, fieldValue(field)])));
  return addToken({ method: form.dataset.method, url, headers, body, requiresToken });
}

function shellQuote(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Returns the curl command. It refers to an environment variable, so that the token does not end up in histories. */
function curlCommand({ method, url, headers, body, requiresToken }) {
  const words = ["curl", ...(headers.Accept === "text/event-stream" ? ["-N"] : []), shellQuote(url)];
  if (requiresToken) words.push("-H", '"Authorization: Bearer $ASKD_TOKEN"');
  for (const [name, text] of Object.entries(headers)) {
    if (name !== "Authorization") words.push("-H", shellQuote(`${name}: ${text}`));
  }
  if (body !== undefined) words.push("--data-raw", shellQuote(body));
  else if (method !== "GET") words.push("-X", method);
  return words.join(" ");
}
