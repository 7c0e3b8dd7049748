// The last exchanges of this page as a chart; whichever is chosen is the one that the five stages show.

const KEPT = 20;
const past = [];
const chart = document.getElementById("history");
let count = 0;

function median(numbers) {
  const sorted = [...numbers].sort((one, other) => one - other);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

function column(one, whole) {
  const stack = make("span", { className: "stack", ariaHidden: "true" });
  for (const name of [...STAGES].reverse()) {
    const part = make("i");
    part.dataset.part = name;
    part.style.height = `${(100 * one.shares[name]) / whole}%`;
    stack.append(part);
  }
  const said = `${one.number}: ${one.question}, ${one.status}, ${duration(one.result.total)}`;
  const radio = make("input", { type: "radio", name: "past", value: one.number, ariaLabel: said, checked: one === past.at(-1) });
  radio.addEventListener("change", () => draw(one));
  const made = make("label", { title: said }, radio, stack);
  made.classList.toggle("failed", one.failed);
  return made;
}

/** Keeps an exchange, the oldest goes; draws all of them, to one scale. */
function remember(result, question, failed) {
  const one = { number: ++count, question, result, failed, shares: shares(result), status: result.response.status };
  past.push(one);
  if (past.length > KEPT) past.shift();
  const whole = Math.max(...past.map((each) => each.result.total));
  chart.querySelector(".columns").replaceChildren(...past.map((each) => column(each, whole)));
  chart.querySelector(".most").textContent = duration(whole);
  const totals = past.map((each) => each.result.total);
  const middle = past.length > 1 ? ` · median ${duration(median(totals))}` : "";
  chart.querySelector(".summary").textContent = `${past.length} of at most ${KEPT}${middle} · slowest ${duration(whole)}`;
  chart.hidden = false;
  draw(one);
}
