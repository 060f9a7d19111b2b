// Keeps the drawn machine in step with the simulator: asks for its state, moves the cup, the screen and the switches.
"use strict";

const page = JSON.parse(document.getElementById("page").textContent);
const words = page.words;
const drinks = new Map(page.menu.map((drink) => [drink.drink_no, drink]));
const POLL_MS = 300;
const NOTE_MS = 9000;
const SIZES = [0.78, 0.89, 1];
const POURING = { brew: true, milk: true, mix: true };

const byId = (id) => document.getElementById(id);
const machine = byId("machine");
const name = (drink) => (page.lang === "en" ? drink.name_en : drink.name);
const roubles = (kopecks) => (kopecks / 100).toLocaleString(page.lang === "en" ? "en-GB" : "ru-RU") + " ₽";
const isOn = (fault) => state.in_force.includes(fault);
const reason = (code) => words["reason_" + code] || words.reason_other;

let offered = null; // {drink, size, order_uuid}: the QR on the screen
let note = null; // {mark, mood, title, text, until}: a word that passes
let pouring = null; // the order seen in the machine at the last look
let state = null;
let acts = 0; // grows when an act begins and when it is done

async function call(method, path, body) {
  const options = { method };
  if (body) Object.assign(options, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  const response = await fetch(path, options);
  if (!response.ok && response.status !== 409) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

function cupIcon(drink, filled = 0.8) {
  const height = 15 * filled;
  const clip = `clip-${drink.drink_no}-${Math.round(filled * 100)}`;
  return `<svg class="icon" viewBox="0 0 24 26" aria-hidden="true">
    <clipPath id="${clip}"><path d="M4 4h14l-2 17q0 1-1 1H7q-1 0-1-1z"/></clipPath>
    <g clip-path="url(#${clip})"><rect x="3" y="${22 - height}" width="16" height="${height}" fill="${drink.colours[0]}"/>
    <rect x="3" y="${22 - height}" width="16" height="${Math.min(3, height)}" fill="${drink.colours[1]}"/></g>
    <path d="M4 4h14l-2 17q0 1-1 1H7q-1 0-1-1z" fill="none" stroke="currentColor" stroke-opacity=".7" stroke-width="1.200"/>
    <path d="M17.500 8q5 0 4.500 4.500t-5.500 4" fill="none" stroke="currentColor" stroke-opacity=".7" stroke-width="1.200"/></svg>`;
}

// The screen

function drawMenu() {
  for (const drink of drinks.values()) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.drink = drink.drink_no;
    button.innerHTML = `${cupIcon(drink)}<span></span><span class="price"></span>`;
    button.children[1].textContent = name(drink);
    button.addEventListener("click", () => offer(drink, 1));
    byId("drinks").append(button);
  }
  for (const size of [0, 1, 2]) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.size = size;
    button.innerHTML = `<span>${words["size_" + size]}</span><b></b>`;
    button.addEventListener("click", () => offered && offer(offered.drink, size));
    byId("sizes").append(button);
  }
}

async function offer(drink, size) {
  byId("qr").classList.add("old");
  offered = { drink, size, order_uuid: null };
  show();
  const link = await call("POST", "/api/qr", { drink_no: drink.drink_no, size });
  if (!offered || offered.drink !== drink || offered.size !== size) return;
  offered.order_uuid = link.order_uuid;
  byId("qr").innerHTML = link.svg;
  byId("qr").href = byId("open").href = link.url;
  byId("qr").classList.remove("old");
}

function showMenu() {
  for (const button of byId("drinks").children) {
    const drink = drinks.get(button.dataset.drink);
    const why = state.closed[drink.drink_no];
    button.disabled = Boolean(why);
    button.children[2].className = why ? "why" : "price";
    button.children[2].textContent = why ? reason(why) : words.from.replace("{price}", roubles(drink.prices[0]));
  }
}

function showOffer() {
  byId("qr-drink").textContent = name(offered.drink);
  for (const button of byId("sizes").children) {
    const size = Number(button.dataset.size);
    button.setAttribute("aria-pressed", size === offered.size);
    button.querySelector("b").textContent = roubles(offered.drink.prices[size]);
  }
}

function showBrewing() {
  const { order, pct, stage } = state;
  byId("brewing-drink").textContent = name(drinks.get(order.drink_no));
  byId("ring").style.strokeDasharray = `${pct} 100`;
  byId("pct").textContent = `${pct} %`;
  const left = words.seconds_left.replace("{n}", Math.ceil(order.seconds_left));
  byId("stage").textContent = `${words["stage_" + stage]}, ${left}`;
  byId("brewing-order").textContent = order.order_uuid ? `${words.order} ${order.order_uuid}` : words.local_order;
}

function showNote({ mark, mood, title, text }) {
  byId("note-mark").textContent = mark;
  byId("note-mark").className = `mark ${mood}`;
  byId("note-title").textContent = title;
  byId("note-text").textContent = text;
}

function standing() {
  const calm = (title) => ({ mark: "…", mood: "", title, text: words.wait });
  if (["heating", "boot", "rinsing", "cleaning"].includes(state.state)) return calm(words["state_" + state.state]);
  if (state.state === "service") return { mark: "…", mood: "", title: words.state_service, text: words.sorry };
  if (state.state === "fault") {
    const why = state.faults.map(reason).join(", ");
    return { mark: "!", mood: "bad", title: words.sorry, text: why };
  }
  return null;
}

function show() {
  if (!state) return;
  const still = standing();
  let screen = "menu";
  if (!state.powered) screen = "dark";
  else if (state.order) screen = "brewing";
  else if (note && note.until > Date.now()) screen = "note";
  else if (still) screen = "note";
  else if (offered) screen = "qr";
  machine.dataset.screen = screen;
  if (screen === "brewing") showBrewing();
  if (screen === "note") showNote(note && note.until > Date.now() ? note : still);
  if (screen === "menu") showMenu();
  if (screen === "qr") showOffer();
}

// What just ended in the machine becomes a passing word on its screen.

function notice() {
  const now = state.order && state.order.order_uuid;
  if (now) {
    if (offered && offered.order_uuid === now) offered = null;
    note = null;
  }
  const last = state.last;
  if (pouring && pouring !== now && last && last.order_uuid === pouring) {
    const ends = {
      done: { mark: "✓", mood: "good", title: words.done, text: words.enjoy },
      failed: { mark: "!", mood: "bad", title: words.failed, text: `${reason(last.failure)}; ${words.failed_hint}` },
      cancelled: { mark: "–", mood: "", title: words.cancelled, text: words.failed_hint },
      interrupted: { mark: "!", mood: "bad", title: words.interrupted, text: words.failed_hint },
    };
    if (ends[last.phase]) {
      note = { ...ends[last.phase], until: Date.now() + NOTE_MS };
      pouring = null;
    }
  }
  if (now) pouring = now;
}

// The drawing

function drawCup() {
  const { order, stage } = state;
  const flows = Boolean(order && POURING[stage] && state.powered);
  machine.classList.toggle("pouring", flows);
  if (!order) {
    machine.classList.toggle("warm", byId("cup").classList.contains("there") && Number(byId("cup").dataset.filled) > 0.05);
    return;
  }
  const drink = drinks.get(order.drink_no);
  const cup = byId("cup");
  cup.classList.add("there");
  cup.dataset.filled = state.filled;
  cup.style.setProperty("--size", SIZES[order.size]);
  cup.style.setProperty("--filled", state.filled);
  machine.style.setProperty("--low", drink.colours[0]);
  machine.style.setProperty("--top", drink.colours[1]);
  machine.style.setProperty("--pouring", stage === "milk" ? "#f6ecdc" : drink.colours[0]);
  machine.classList.toggle("warm", state.filled > 0.1);
}

function takeCup() {
  if (state && state.order) return;
  byId("cup").classList.remove("there");
  machine.classList.remove("warm");
  if (note) note = null;
  show();
}

function mood() {
  if (!state.powered) return "off";
  if (state.state === "fault" || isOn("silent") || isOn("mute") || !state.plugged) return "bad";
  return state.state === "ready" || state.state === "brewing" ? "good" : "wait";
}

function drawMachine() {
  machine.dataset.mood = mood();
  machine.classList.toggle("empty-hopper", isOn("no_beans"));
  machine.classList.toggle("open-door", isOn("door_open"));
  byId("lamp").className = `lamp ${mood()}`;
  const said = [words["state_" + state.state]];
  if (isOn("silent")) said.push(words.hung.toLowerCase());
  if (!state.plugged) said.push(words.unplugged_note.toLowerCase());
  const closing = state.faults.map(reason).filter((word) => word !== words.reason_other);
  if (state.state === "ready" && closing.length) said.push(closing.join(", "));
  byId("state").textContent = said.join(" · ");
  byId("local").disabled = state.state !== "ready";
}

function drawSwitches() {
  for (const button of document.querySelectorAll("[data-switch]")) {
    button.setAttribute("aria-checked", button.dataset.switch in state.switches);
  }
  byId("repair").hidden = !page.repairs_more && Object.keys(state.switches).length === 0;
}

let cupsDrawn = "";
function drawBooks() {
  const values = { ...state.counters, boots: state.boots, unheard: state.unheard_events };
  for (const figure of document.querySelectorAll("[data-counter]")) {
    figure.textContent = values[figure.dataset.counter];
  }
  const text = JSON.stringify([state.cups, state.order && state.order.order_uuid]);
  if (text === cupsDrawn) return;
  cupsDrawn = text;
  byId("no-cups").hidden = state.cups.length > 0;
  byId("cups").replaceChildren(...state.cups.slice().reverse().map(drawBook));
}

function drawBook(cup) {
  const drink = drinks.get(cup.drink_no);
  const row = document.createElement("li");
  row.innerHTML = `${cupIcon(drink, cup.filled)}<span></span><span class="much"></span>`;
  row.children[1].textContent = name(drink);
  const order = document.createElement("code");
  order.textContent = cup.order_uuid || words.local;
  row.children[1].append(order);
  row.children[2].textContent = `${Math.round(cup.filled * 100)} %`;
  const isUnderTheSpout = state.order && cup === state.cups.at(-1);
  row.children[2].classList.toggle("part", cup.filled < 1 && !isUnderTheSpout);
  return row;
}

// Looking and acting

async function look() {
  try {
    const begun = acts;
    const seen = await call("GET", "/api/state");
    if (begun !== acts) return; // what was seen is from before something was switched
    state = seen;
    byId("lost").hidden = true;
    notice();
    drawMachine();
    drawCup();
    drawSwitches();
    drawBooks();
    show();
  } catch (error) {
    byId("lost").hidden = false;
  }
}

async function keepLooking() {
  if (!document.hidden) await look();
  setTimeout(keepLooking, POLL_MS);
}

async function act(method, path, body) {
  acts += 1;
  try {
    await call(method, path, body);
  } catch (error) {
    byId("lost").hidden = false;
  }
  acts += 1;
  await look();
}

function howOften() {
  const [mode, value] = byId("often").value.split(":");
  if (!mode) return {};
  if (mode === "chance") return { mode, chance: Number(value) };
  return value ? { mode, n: Number(value) } : { mode };
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-switch]");
  if (!button) return;
  const on = button.getAttribute("aria-checked") === "true";
  const fault = button.dataset.switch;
  button.setAttribute("aria-checked", !on);
  const often = "often" in button.dataset ? howOften() : {};
  act(...(on ? ["DELETE", `/api/faults/${fault}`] : ["POST", "/api/faults", { name: fault, ...often }]));
});
byId("back").addEventListener("click", () => { offered = null; show(); });
byId("cup").addEventListener("click", takeCup);
byId("repair").addEventListener("click", () => act("DELETE", "/api/faults"));
byId("power").addEventListener("click", () => act("POST", "/api/power"));
byId("local").addEventListener("click", () => {
  const open = [...drinks.keys()].find((drinkNo) => !state.closed[drinkNo]);
  if (open) act("POST", "/api/local-drink", { drink_no: open });
});
drawMenu();
keepLooking();
