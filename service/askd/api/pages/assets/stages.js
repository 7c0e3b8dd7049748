// The five stages of an exchange, as times and as bars.

const GUARDS = ["auth", "rate", "cache", "queue"];
const STAGES = ["client", "network", "server", "code", "response"];

function sum(numbers) {
  return numbers.reduce((all, one) => all + (one ?? 0), 0);
}

/**
 * Which stage had the exchange when: [stage, from, to], in ms after its start and in order.
 *
 * What is under way and not the server's is halved: before it and after it. Of a stream the server tells its times with
 * the first words; what it took until then beside its guards is the code's, and what follows is the response.
 */
function spans({ total, sent, got, first, stages: took }) {
  const streamed = first !== null;
  const [left, there] = [Math.min(sent, first ?? got), first ?? got];
  const server = Math.min(took.total ?? 0, there - left);
  const half = (there - left - server) / 2;
  const render = streamed ? 0 : Math.min(took.render ?? 0, server);
  const guards = Math.min(sum(GUARDS.map((name) => took[name])), server);
  const code = Math.min(streamed ? server - guards : (took.code ?? 0), server - render);
  const written = there - half - render;
  return [
    ["client", 0, left],
    ["network", left, left + half],
    ["server", left + half, written - code],
    ["code", written - code, written],
    ["response", written, written + render],
    ["network", there - half, there],
    [streamed ? "response" : "client", there, total],
  ].filter(([, from, to]) => to > from);
}

/** What each stage took, in ms; together they are the whole. */
function shares(result) {
  const found = Object.fromEntries(STAGES.map((name) => [name, 0]));
  for (const [name, from, to] of spans(result)) found[name] += to - from;
  return found;
}

/** What the server says of its time: [name, ms], what it does not name last. */
function inside({ stages: took }) {
  const named = [...GUARDS, "code", "render"].filter((name) => took[name] !== undefined);
  const rest = Math.max(0, took.total - sum(named.map((name) => took[name])));
  return [...named.map((name) => [name, took[name]]), ["rest", rest]];
}

function placed(name, from, to, whole) {
  const made = make("i");
  made.dataset.part = name;
  made.style.left = `${(100 * from) / whole}%`;
  made.style.width = `${(100 * (to - from)) / whole}%`;
  return made;
}

/** One bar for a whole, its parts [name, label, ms] side by side, and below it what each took. */
function strip(parts) {
  const whole = sum(parts.map(([, , ms]) => ms)) || 1;
  const track = make("div", { className: "strip", ariaHidden: "true" });
  const seen = new Map();
  let from = 0;
  for (const [name, label, ms] of parts) {
    track.append(placed(name, from, (from += ms), whole));
    seen.set(name, [label, (seen.get(name)?.[1] ?? 0) + ms]);
  }
  return [track, make("ul", { className: "legend" }, ...[...seen].map(([name, [label, ms]]) => entry(name, label, ms)))];
}

function entry(name, label, ms) {
  const made = make("li", {}, `${label} `, make("b", {}, duration(ms)));
  made.dataset.part = name;
  return made;
}
