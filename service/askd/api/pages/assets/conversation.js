// A conversation: its thread, the earlier turns above the answer, and replies to a graph that asks for input.

const turnList = document.getElementById("turns"); // null if the answerer has no threads
const threadField = turnList && form.elements.namedItem("thread");
const questionLabel = form.querySelector("label[for=q]");
const defaultLabel = questionLabel.textContent;
let isReply = false; // whether the next question is a reply

function createThreadId() {
  return [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Makes the form ask for a reply, or for a question again. */
function expectReply(expected) {
  isReply = expected;
  form.classList.toggle("reply-expected", expected);
  questionLabel.textContent = expected ? "Your reply" : defaultLabel;
}

/** Moves the answer into the last turn, without the controls that belong to the newest answer only. */
function moveAnswerToTurn() {
  const reply = createElement("div", { className: "reply" }, ...answerSection.childNodes);
  for (const control of reply.querySelectorAll("form, .actions, .retry, .suggestions, .metadata")) control.remove();
  reply.classList.toggle("failed", answerSection.classList.contains("failed"));
  turnList.lastElementChild.append(reply);
}

/** Adds a question to the turns. A question in another thread starts another conversation. */
function addTurn(question) {
  if (!turnList) return;
  const thread = threadField.value;
  if (!thread || thread !== turnList.dataset.thread) turnList.replaceChildren();
  else if (turnList.lastElementChild) moveAnswerToTurn();
  turnList.dataset.thread = thread;
  turnList.append(createElement("li", {}, createElement("p", { className: "question" }, question)));
  form.elements.q.value = "";
}

function startConversation() {
  currentRequest?.abort();
  currentRequest = null;
  threadField.value = createThreadId();
  turnList.replaceChildren();
  answerSection.classList.remove("failed");
  setAnswerContent();
  expectReply(false);
  setBusy(false);
  updateAddress(buildRequest(form));
  form.elements.q.focus();
}

if (turnList) {
  const button = createButton("New conversation", startConversation);
  form.append(createElement("p", { className: "actions" }, button));
  threadField.value = createThreadId();
  if (new URLSearchParams(location.search).has("thread")) {
    setAnswerContent(createElement("p", { className: "waiting" }, "Earlier turns of this conversation are not shown."));
  }
}
