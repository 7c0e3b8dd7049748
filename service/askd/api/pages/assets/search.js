// Contents and search: filters operations, problems and schemas by their text.

const searchField = document.getElementById("search");
const searchStatus = document.getElementById("search-status");
const contents = document.querySelector(".contents > details");
const entries = [...document.querySelectorAll(".operation, .schema, .problems > div")];
const openBefore = new Map(); // state of each tag's section before the search

function setHidden(element, isHidden) {
  element.hidden = isHidden;
  return !isHidden;
}

function search() {
  const words = searchField.value.toLowerCase().split(/\s+/).filter(Boolean);
  const isActive = words.length > 0;
  const matches = (entry) => words.every((word) => entry.textContent.toLowerCase().includes(word));
  const count = entries.filter((entry) => setHidden(entry, !matches(entry))).length;
  for (const section of document.querySelectorAll(".tag")) {
    if (!openBefore.has(section)) openBefore.set(section, section.open);
    setHidden(section, !section.querySelector(".operation:not([hidden])"));
    section.open = isActive || openBefore.get(section);
    if (!isActive) openBefore.delete(section);
  }
  for (const link of contents.querySelectorAll("a")) {
    setHidden(link.parentElement, Boolean(document.getElementById(decodeURIComponent(link.hash.slice(1)))?.hidden));
  }
  for (const group of contents.querySelectorAll("details")) {
    setHidden(group, !group.querySelector("li:not([hidden])"));
    group.open = isActive;
  }
  searchStatus.textContent = isActive ? `${count} of ${entries.length} sections` : "";
}

/** Opens the collapsed section that contains the target of the address. */
function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const section = target && target.closest("details:not([open])");
  if (!section) return;
  section.open = true;
  target.scrollIntoView();
}

const isNarrow = matchMedia("(max-width: 57.99rem)");
contents.open = !isNarrow.matches;
isNarrow.addEventListener("change", () => (contents.open = !isNarrow.matches));
searchField.parentElement.hidden = false;
searchField.addEventListener("input", search);
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, textarea, select")) return;
  event.preventDefault();
  searchField.focus();
});
addEventListener("hashchange", openTarget);
openTarget();
