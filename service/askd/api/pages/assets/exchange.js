// One request and all that can be seen of it: status, headers, body, times; streamed answers piece by piece.

/** Parses server-sent events out of text that arrives in any pieces; gives each event's name and data to `take`. */
function events(take) {
  let rest = "";
  return (piece) => {
    const blocks = (rest + piece).replace(/\r\n?/g, "\n").split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { name: "message", data: [] };
      for (const line of block.split("\n")) {
        const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
        if (field === "event") event.name = value;
        if (field === "data") event.data.push(value);
      }
      if (event.data.length) take(event.name, event.data.join("\n"));
    }
  };
}

/** "queue;dur=0.1, code;dur=2" → {queue: 0.1, code: 2}, in milliseconds. */
function stages(header) {
  const found = {};
  for (const [, name, duration] of (header || "").matchAll(/([\w-]+)[^,]*?;\s*dur=([\d.]+)/g)) {
    found[name] = Number(duration);
  }
  return found;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** When the request left and the answer was there, in ms after `start`: what is outside of it is the page's own. */
async function wire(url, start, total) {
  await new Promise((done) => setTimeout(done)); // the browser notes it after the body was read
  const noted = performance.getEntriesByName(url).at(-1);
  if (!noted?.requestStart) return { sent: 0, got: total, way: "" };
  const fresh = noted.connectEnd > noted.connectStart;
  const sent = (fresh ? noted.domainLookupStart : noted.requestStart) - start;
  const way = fresh ? `new connection, ${duration(noted.connectEnd - noted.domainLookupStart)}` : "connection kept open";
  return { sent: Math.max(0, Math.min(sent, total)), got: Math.min(total, noted.responseEnd - start), way };
}

/**
 * Sends the request. `seen` is called with each piece of a body as it comes, `delta` with each piece of a streamed
 * answer. Resolves to what came back; rejects when nothing did.
 */
async function exchange(request, { seen = () => {}, delta = () => {}, signal } = {}) {
  performance.clearResourceTimings();
  const start = performance.now();
  const { method, headers, body } = request;
  const response = await fetch(request.url, { method, headers, body, signal });
  const type = (response.headers.get("content-type") || "").split(";")[0].trim();
  const result = { response, type, text: "", json: undefined, first: null };
  const take = events((name, data) => {
    if (name === "delta") {
      result.first ??= performance.now() - start;
      delta(parsed(data) ?? data);
    } else if (name === "answer" || name === "error") {
      result.json = parsed(data);
      result.failed = name === "error";
    }
  });
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  for (let read; reader && !(read = await reader.read()).done; ) {
    const piece = decoder.decode(read.value, { stream: true });
    result.text += piece;
    seen(piece);
    if (type === "text/event-stream") take(piece);
  }
  result.total = performance.now() - start;
  Object.assign(result, await wire(request.url, start, result.total));
  result.stages = stages(response.headers.get("server-timing"));
  if (type === "text/event-stream") result.cut = result.json === undefined;
  else result.json = parsed(result.text);
  return result;
}

function duration(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms.toFixed(ms >= 100 ? 0 : ms >= 1 ? 1 : 2)} ms`;
}

/** Makes an element; children that are text stay text. */
function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}
