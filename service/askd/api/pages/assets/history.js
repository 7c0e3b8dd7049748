// Chart of the recent requests of this page. The timeline shows the selected one.

const MAX_HISTORY = 20;
const requestHistory = [];
const historySection = document.getElementById("history");
let requestCount = 0;

function median(numbers) {
  const sorted = [...numbers].sort((first, second) => first - second);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

function createColumn(entry, maximum) {
  const stack = createElement("span", { className: "stack", ariaHidden: "true" });
  for (const stage of [...STAGES].reverse()) {
    const segment = createElement("i");
    segment.dataset.stage = stage;
    segment.style.height = `${(100 * entry.durations[stage]) / maximum}%`;
    stack.append(segment);
  }
  const label = `${entry.number}: ${entry.question}, ${entry.status}, ${formatDuration(entry.result.total)}`;
  const radio = createElement("input", {
    type: "radio",
    name: "history",
    value: entry.number,
    ariaLabel: label,
    checked: entry === requestHistory.at(-1),
  });
  radio.addEventListener("change", () => showTimeline(entry));
  const column = createElement("label", { title: label }, radio, stack);
  column.classList.toggle("failed", entry.failed);
  return column;
}

/** Adds a request to the history, which drops the oldest one if it is full, and redraws the chart and the timeline. */
function addToHistory(result, question, failed) {
  const durations = stageDurations(result);
  const entry = { number: ++requestCount, question, result, failed, durations, status: result.response.status };
  requestHistory.push(entry);
  if (requestHistory.length > MAX_HISTORY) requestHistory.shift();
  const totals = requestHistory.map(({ result }) => result.total);
  const maximum = Math.max(...totals);
  const columns = requestHistory.map((past) => createColumn(past, maximum));
  historySection.querySelector(".columns").replaceChildren(...columns);
  historySection.querySelector(".maximum").textContent = formatDuration(maximum);
  const medianText = totals.length > 1 ? ` · median ${formatDuration(median(totals))}` : "";
  historySection.querySelector(".summary").textContent =
    `${totals.length} of at most ${MAX_HISTORY} requests${medianText} · slowest ${formatDuration(maximum)}`;
  historySection.hidden = false;
  showTimeline(entry);
}
