"use strict";
// The trials. Images are prefetched and appear in one frame, which starts the clock. A trial ends once the server
// has stored the answer on disk.

const AHEAD = 4; // number of trials whose images are prefetched
const PATIENCE_SECONDS = 20; // timeout after which a request is resent
const RETRY_SECONDS = [0.5, 1, 2, 4, 8];
const byId = (id) => document.getElementById(id);
const stage = byId("stage");
const places = [...document.querySelectorAll(".place")];
const notSure = byId("not-sure");
const sections = ["instructions", "begin", "break", "ended", "trial"].map(byId);
let state = null; // the reply of /state
let trial = null; // {position, shownAt, isOpen, wasHidden}

const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
const frame = () => new Promise(requestAnimationFrame);

/** Resend a request until the server replies: a lost connection or a full disk delays answers but loses none. */
async function ask(path, body) {
  for (let attempt = 0; ; attempt++) {
    try {
      const signal = AbortSignal.timeout(1000 * PATIENCE_SECONDS);
      const reply = await fetch(path, body === undefined ? { signal } : {
        signal, method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
      });
      if (reply.status < 500 && reply.status !== 429) {
        byId("offline").hidden = true;
        return reply;
      }
    } catch { /* no connection: retry, as after a server error */ }
    byId("offline").hidden = attempt === 0;
    await sleep(RETRY_SECONDS[Math.min(attempt, RETRY_SECONDS.length - 1)]);
  }
}

function show(id) {
  for (const section of sections) section.hidden = section.id !== id;
  byId("loading").hidden = true;
}

/** Show a text and wait for a click on its button. */
function read(id) {
  show(id);
  const button = byId(id).querySelector(".next");
  button.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  return new Promise((done) => button.addEventListener("click", done, { once: true }));
}

const images = new Map(); // key -> promise of a decoded image
function image(key) {
  if (!images.has(key)) {
    images.set(key, (async () => {
      for (let attempt = 0; ; attempt++) {
        const element = new Image();
        element.src = "/image/" + key;
        try {
          await element.decode();
          byId("offline").hidden = true;
          return element.src;
        } catch {
          byId("offline").hidden = attempt === 0;
          await sleep(RETRY_SECONDS[Math.min(attempt, RETRY_SECONDS.length - 1)]);
        }
      }
    })());
  }
  return images.get(key);
}

const keysOf = (shown) => [...(shown.anchor ? [shown.anchor] : []), ...shown.places];
const trialAt = (position) => state.trials[position - state.next];

async function load(position) {
  for (let ahead = 1; ahead <= AHEAD; ahead++) {
    const later = trialAt(position + ahead);
    if (later) keysOf(later).forEach(image);
  }
  const waiting = setTimeout(() => { byId("loading").hidden = false; }, 400);
  await Promise.all(keysOf(trialAt(position)).map(image));
  clearTimeout(waiting);
  byId("loading").hidden = true;
}

/** Show all images of a trial in one frame, and start the clock at that frame. */
async function present(position) {
  stage.classList.add("blank");
  await load(position);
  const shown = trialAt(position);
  const targets = [...(shown.anchor ? [byId("anchor").firstElementChild] : []), ...places.map((p) => p.querySelector("img"))];
  keysOf(shown).forEach((key, i) => { targets[i].src = "/image/" + key; });
  await Promise.all(targets.map((target) => target.decode().catch(() => undefined)));
  for (const place of places) {
    place.classList.remove("chosen");
    place.disabled = false;
  }
  if (notSure) notSure.disabled = false;
  byId("feedback").textContent = "";
  instruct(shown.instruction);
  progress(position);
  await frame();
  stage.classList.remove("blank");
  trial = { position, shownAt: await frame(), isOpen: true, wasHidden: document.hidden };
  stage.dataset.presented = position;
}

/** Replace the question with the text of an instructed trial, and dim and number the images; null restores them. */
function instruct(number) {
  const text = byId("instruction");
  text.textContent = number === null ? "" : text.dataset.text.replace("{number}", number);
  text.hidden = number === null;
  byId("question").hidden = number !== null;
  stage.classList.toggle("dimmed", number !== null);
}

/** Return the size of the first candidate, without its margins, and of the window, in CSS pixels. */
function screenOf() {
  const shown = places[0].querySelector("img"), box = shown.getBoundingClientRect();
  const scale = Math.min(box.width / shown.naturalWidth, box.height / shown.naturalHeight) || 0;
  const sizes = [[scale * shown.naturalWidth, scale * shown.naturalHeight], [window.innerWidth, window.innerHeight]];
  return sizes.map((size) => size.map(Math.round).join("x")).join(" ");
}

function progress(position) {
  const bar = document.querySelector("#progress progress"), text = document.querySelector("#progress span");
  bar.value = position / state.total;
  text.textContent = text.dataset.text.replace("{done}", position).replace("{total}", state.total);
}

/** Send an answer: a screen position from the left (or top), or null for "not sure". */
async function answer(place, event, input) {
  if (!trial || !trial.isOpen) return;
  trial.isOpen = false;
  delete stage.dataset.presented;
  const { position, shownAt, wasHidden } = trial;
  for (const button of places) button.disabled = true;
  if (notSure) notSure.disabled = true;
  if (place !== null) places[place].classList.add("chosen");
  const reply = await ask("/answer", {
    position, place, seconds: Math.max(0, event.timeStamp - shownAt) / 1000, input, is_interrupted: wasHidden,
    screen: screenOf(),
  });
  if (reply.status === 410) return show("ended");
  if (!reply.ok) return start(); // answered in another window or out of order: reload the position
  const said = await reply.json();
  if (said.correct !== null) await feedback(said.correct);
  await goOn(said.next);
}

async function feedback(isRight) {
  const text = byId("feedback"), button = byId("go-on");
  text.textContent = isRight ? text.dataset.right : text.dataset.wrong;
  button.hidden = false;
  button.focus({ preventScroll: true });
  await new Promise((done) => button.addEventListener("click", done, { once: true }));
  button.hidden = true;
}

async function goOn(position) {
  if (position >= state.total) return location.replace("/done");
  if (position > 0 && position === state.practice) await read("begin");
  else if (state.breaks.includes(position)) await read("break");
  show("trial");
  await present(position);
}

async function start() {
  const reply = await ask("/state");
  if (!reply.ok) return reply.status === 410 ? location.replace("/") : show("ended");
  state = await reply.json();
  if (state.next >= state.total) return location.replace("/done");
  [0, 1].map((ahead) => trialAt(state.next + ahead)).filter(Boolean).flatMap(keysOf).forEach(image);
  if (state.next < Math.max(1, state.practice)) await read("instructions");
  show("trial");
  await present(state.next);
}

let pointer = "mouse"; // some browsers do not report the pointer type of a click
document.addEventListener("pointerdown", (event) => { pointer = event.pointerType || "mouse"; }, true);
// a click without a pointer comes from the keyboard, on a focused button, or from assistive technology
const madeBy = (event) => (event.detail === 0 ? "assistive" : pointer);
places.forEach((place, i) => place.addEventListener("click", (event) => answer(i, event, madeBy(event))));
if (notSure) notSure.addEventListener("click", (event) => answer(null, event, madeBy(event)));

document.addEventListener("keydown", (event) => {
  if (event.target.closest(".withdraw")) return;
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || byId("trial").hidden) return;
  const arrows = { ArrowLeft: 0, ArrowUp: 0, ArrowRight: places.length - 1, ArrowDown: places.length - 1 };
  const number = /^[1-9]$/.test(event.key) ? Number(event.key) - 1 : arrows[event.key];
  if (number !== undefined && number < places.length) {
    event.preventDefault();
    answer(number, event, "key");
  } else if (notSure && (event.key === "0" || (event.key === " " && document.activeElement.tagName !== "BUTTON"))) {
    event.preventDefault();
    answer(null, event, "key");
  }
});
document.addEventListener("visibilitychange", () => {
  if (trial && trial.isOpen && document.hidden) trial.wasHidden = true;
});

start();
