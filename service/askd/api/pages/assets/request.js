// Sends one request and records its status, headers, body and timings; passes on streamed answers piece by piece.

/** Returns a parser of server-sent events. Feed it the text in chunks of any size; it calls onEvent(name, data). */
function createEventParser(onEvent) {
  let buffer = "";
  return (chunk) => {
    const blocks = (buffer + chunk).replace(/\r\n?/g, "\n").split("\n\n");
    buffer = blocks.pop();
    for (const block of blocks) {
      const event = { name: "message", data: [] };
      for (const line of block.split("\n")) {
        const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
        if (field === "event") event.name = value;
        if (field === "data") event.data.push(value);
      }
      if (event.data.length) onEvent(event.name, event.data.join("\n"));
    }
  };
}

/** "queue;dur=0.1, answerer;dur=2" → {queue: 0.1, answerer: 2}, in milliseconds. */
function parseServerTiming(header) {
  const durations = {};
  for (const [, name, duration] of (header || "").matchAll(/([\w-]+)[^,]*?;\s*dur=([\d.]+)/g)) {
    durations[name] = Number(duration);
  }
  return durations;
}

/** Returns undefined if the text is not JSON. */
function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Returns when the request left the browser and when the response had arrived, in ms after `start`. The remaining time
 * was spent in the page itself.
 */
async function networkTiming(url, start, total) {
  await new Promise((resolve) => setTimeout(resolve)); // the browser adds the entry after the body has been read
  const entry = performance.getEntriesByName(url).at(-1);
  if (!entry?.requestStart) return { sentAt: 0, receivedAt: total, connection: "" };
  const isNew = entry.connectEnd > entry.connectStart;
  const sentAt = (isNew ? entry.domainLookupStart : entry.requestStart) - start;
  return {
    sentAt: Math.max(0, Math.min(sentAt, total)),
    receivedAt: Math.min(total, entry.responseEnd - start),
    connection: isNew
      ? `new connection, ${formatDuration(entry.connectEnd - entry.domainLookupStart)}`
      : "reused connection",
  };
}

/**
 * Sends the request and resolves to the result; rejects if there is no response. Calls onChunk with each piece of the
 * body, and onDelta with each piece of a streamed answer.
 */
async function sendRequest(request, { onChunk = () => {}, onDelta = () => {}, signal } = {}) {
  performance.clearResourceTimings();
  const start = performance.now();
  const { method, headers, body } = request;
  const response = await fetch(request.url, { method, headers, body, signal });
  const mediaType = (response.headers.get("content-type") || "").split(";")[0].trim();
  const isStream = mediaType === "text/event-stream";
  const result = { response, mediaType, text: "", json: undefined, firstDeltaAt: null };
  const parseEvents = createEventParser((name, data) => {
    if (name === "delta") {
      result.firstDeltaAt ??= performance.now() - start;
      onDelta(parseJson(data) ?? data);
    } else if (name === "answer" || name === "error") {
      result.json = parseJson(data);
      result.failed = name === "error";
    }
  });
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  for (let read; reader && !(read = await reader.read()).done; ) {
    const chunk = decoder.decode(read.value, { stream: true });
    result.text += chunk;
    onChunk(chunk);
    if (isStream) parseEvents(chunk);
  }
  result.total = performance.now() - start;
  Object.assign(result, await networkTiming(request.url, start, result.total));
  result.serverTiming = parseServerTiming(response.headers.get("server-timing"));
  if (isStream) result.isTruncated = result.json === undefined;
  else result.json = parseJson(result.text);
  return result;
}

function formatDuration(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms.toFixed(ms >= 100 ? 0 : ms >= 1 ? 1 : 2)} ms`;
}

/** Creates an element. Children that are strings become text nodes; null and undefined are skipped. */
function createElement(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
