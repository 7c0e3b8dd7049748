// Converts a request to a program that sends it: in the shell, Python or JavaScript.

const TOKEN_VARIABLE = "ASKD_TOKEN"; // so that the token does not end up in histories and files

function isStream({ headers }) {
  return headers.Accept === "text/event-stream";
}

/** Returns the value as a JSON or Python literal; these differ in three words. */
function pythonLiteral(value) {
  if (value === null || typeof value === "boolean") return { null: "None", true: "True", false: "False" }[value];
  if (Array.isArray(value)) return `[${value.map(pythonLiteral).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, inner]) => `${JSON.stringify(name)}: ${pythonLiteral(inner)}`).join(", ")}}`;
}

function headerEntries({ headers }) {
  return Object.entries(headers).filter(([name]) => name !== "Authorization");
}

function pythonSample(request) {
  const { method, url, body, requiresToken } = request;
  const target = new URL(url);
  const query = [...target.searchParams];
  const headers = headerEntries(request).map(([name, text]) => `${JSON.stringify(name)}: ${JSON.stringify(text)}`);
  if (requiresToken) headers.push(`"Authorization": f"Bearer {os.environ['${TOKEN_VARIABLE}']}"`);
  const json = body !== undefined && request.headers["Content-Type"]?.includes("json") ? parseJson(body) : undefined;
  const lines = [`    "${target.origin}${target.pathname}",`];
  if (query.length) lines.push(`    params=[${query.map(([name, text]) => `(${JSON.stringify(name)}, ${JSON.stringify(text)})`).join(", ")}],`);
  if (headers.length) lines.push(`    headers={${headers.join(", ")}},`);
  if (json !== undefined) lines.push(`    json=${pythonLiteral(json)},`);
  else if (body !== undefined) lines.push(`    data=${JSON.stringify(body)},`);
  if (isStream(request)) lines.push("    stream=True,");
  const print = isStream(request)
    ? "for line in response.iter_lines():\n    print(line.decode())"
    : "print(response.text)";
  return [
    ...(requiresToken ? ["import os", ""] : []),
    "import requests",
    "",
    `response = requests.${method.toLowerCase()}(`,
    ...lines,
    "    timeout=60,",
    ")",
    "response.raise_for_status()",
    print,
  ].join("\n");
}

function javascriptSample(request) {
  const { method, url, body, requiresToken } = request;
  const headers = headerEntries(request).map(([name, text]) => `${JSON.stringify(name)}: ${JSON.stringify(text)}`);
  if (requiresToken) headers.push(`Authorization: \`Bearer \${process.env.${TOKEN_VARIABLE}}\``);
  const options = [];
  if (method !== "GET") options.push(`  method: ${JSON.stringify(method)},`);
  if (headers.length) options.push(`  headers: { ${headers.join(", ")} },`);
  if (body !== undefined) options.push(`  body: ${JSON.stringify(body)},`);
  const print = isStream(request)
    ? "for await (const text of response.body.pipeThrough(new TextDecoderStream())) console.log(text);"
    : "console.log(await response.text());";
  return [
    options.length ? `const response = await fetch(${JSON.stringify(url)}, {` : `const response = await fetch(${JSON.stringify(url)});`,
    ...(options.length ? [...options, "});"] : []),
    "if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);",
    print,
  ].join("\n");
}

const SAMPLE_LANGUAGES = { curl: curlCommand, Python: pythonSample, JavaScript: javascriptSample };
