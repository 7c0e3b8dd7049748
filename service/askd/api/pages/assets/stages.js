// The five stages of a request, as durations and as bars.

const GUARD_STAGES = ["auth", "rate_limit", "cache", "queue"]; // names in Server-Timing
const STAGE_LABELS = { client: "Client", network: "Network", server: "Server", answerer: "Answerer", response: "Response" };
const STAGES = Object.keys(STAGE_LABELS);

function sum(numbers) {
  return numbers.reduce((total, number) => total + (number ?? 0), 0);
}

/**
 * Splits the duration of a request into spans of its stages: [stage, from, to], in ms after its start and in order.
 *
 * Time in transit that the server does not account for is split equally between the way there and the way back. The
 * headers of a stream are sent with its first event, so Server-Timing covers only the time until then: apart from the
 * guards that time belongs to the answerer, and everything after it to the response.
 */
function stageSpans({ total, sentAt, receivedAt, firstDeltaAt, serverTiming }) {
  const isStream = firstDeltaAt !== null;
  const arrivedAt = firstDeltaAt ?? receivedAt;
  const leftAt = Math.min(sentAt, arrivedAt);
  const server = Math.min(serverTiming.total ?? 0, arrivedAt - leftAt);
  const oneWay = (arrivedAt - leftAt - server) / 2;
  const render = isStream ? 0 : Math.min(serverTiming.render ?? 0, server);
  const guards = Math.min(sum(GUARD_STAGES.map((name) => serverTiming[name])), server);
  const answerer = Math.min(isStream ? server - guards : (serverTiming.answerer ?? 0), server - render);
  const answeredAt = arrivedAt - oneWay - render;
  return [
    ["client", 0, leftAt],
    ["network", leftAt, leftAt + oneWay],
    ["server", leftAt + oneWay, answeredAt - answerer],
    ["answerer", answeredAt - answerer, answeredAt],
    ["response", answeredAt, answeredAt + render],
    ["network", arrivedAt - oneWay, arrivedAt],
    [isStream ? "response" : "client", arrivedAt, total],
  ].filter(([, from, to]) => to > from);
}

/** Returns the duration of each stage in ms; they add up to the total. */
function stageDurations(result) {
  const durations = Object.fromEntries(STAGES.map((name) => [name, 0]));
  for (const [name, from, to] of stageSpans(result)) durations[name] += to - from;
  return durations;
}

/** Returns the stages in Server-Timing as [name, ms], followed by the remaining time as "other". */
function serverStages({ serverTiming }) {
  const names = [...GUARD_STAGES, "answerer", "render"].filter((name) => serverTiming[name] !== undefined);
  const other = Math.max(0, serverTiming.total - sum(names.map((name) => serverTiming[name])));
  return [...names.map((name) => [name, serverTiming[name]]), ["other", other]];
}

function createBar(stage, from, to, total) {
  const bar = createElement("i");
  bar.dataset.stage = stage;
  bar.style.left = `${(100 * from) / total}%`;
  bar.style.width = `${(100 * (to - from)) / total}%`;
  return bar;
}

/** Returns a stacked bar of the parts [stage, label, ms], and a legend with the duration of each stage. */
function createStackedBar(parts) {
  const total = sum(parts.map(([, , ms]) => ms)) || 1;
  const track = createElement("div", { className: "stacked-bar", ariaHidden: "true" });
  const legend = new Map();
  let from = 0;
  for (const [stage, label, ms] of parts) {
    track.append(createBar(stage, from, (from += ms), total));
    legend.set(stage, [label, (legend.get(stage)?.[1] ?? 0) + ms]);
  }
  const items = [...legend].map(([stage, [label, ms]]) => createLegendItem(stage, label, ms));
  return [track, createElement("ul", { className: "legend" }, ...items)];
}

function createLegendItem(stage, label, ms) {
  const item = createElement("li", {}, `${label} `, createElement("b", {}, formatDuration(ms)));
  item.dataset.stage = stage;
  return item;
}
