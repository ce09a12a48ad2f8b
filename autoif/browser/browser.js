// The application: stages on the left, filters above, rows below. Its state is the address behind the #.

const RUN = JSON.parse(document.getElementById("run").textContent);
const SHOWN = 50;
const CHOICES = 3000; // instructions that the field offers
const KEY = 300; // characters by which an instruction is known

const app = {
  stage: null, index: null, at: 0, hits: [], open: new Set(), pages: new Map(), search: 0, traced: null,
  filter: { state: "", text: "", instruction: "" },
  instruction: (text) => h("div", { class: "about-it" }, block(text, "plain strong"),
    h("button", { type: "button", onclick: () => follow(text) }, "follow it through the run")),
};

// ---- filters

function passes(number) {
  const { index, filter } = app;
  if (filter.state && index.states[index.state[number]] !== filter.state) return false;
  return !filter.instruction || index.instructions[index.instruction[number]] === filter.instruction;
}

function begins(number, text) {
  const { index } = app;
  const about = index.instruction[number] < 0 ? "" : index.instructions[index.instruction[number]];
  return index.text[number].toLowerCase().includes(text) || about.toLowerCase().includes(text);
}

// First what the index can tell, at once; then whole records, file by file, as long as nothing else is asked.
async function find() {
  const turn = ++app.search, stage = app.stage, text = app.filter.text.toLowerCase();
  const pool = [];
  for (let number = 0; number < stage.rows; number++) if (passes(number)) pool.push(number);
  app.hits = text ? pool.filter((number) => begins(number, text)) : pool;
  app.at = Math.min(app.at, Math.max(0, Math.floor((app.hits.length - 1) / SHOWN) * SHOWN));
  draw();
  const rest = text ? pool.filter((number) => !begins(number, text)) : [];
  const found = new Set(app.hits), files = [...new Set(rest.map((number) => Math.floor(number / stage.size)))];
  const wanted = new Set(rest), quoted = JSON.stringify(text).slice(1, -1);
  for (const [done, file] of files.entries()) {
    const key = `${name(stage)}/${file}`;
    const content_of = await (app.pages.get(key) || load(`${stage.folder}/${file}.js`, key)).catch(() => null);
    if (turn !== app.search) return;
    if (!content_of) {
      status(`${stage.folder}/${file}.js is missing: write the pages again with task=inspect`);
      return;
    }
    const { rows } = content_of;
    rows.forEach((content, i) => {
      const number = file * stage.size + i;
      if (wanted.has(number) && JSON.stringify(content).toLowerCase().includes(quoted)) found.add(number);
    });
    if (done % 20 === 19 || done === files.length - 1) {
      const before = app.hits.length;
      app.hits = [...found].sort((a, b) => a - b);
      status(done + 1 < files.length ? `reading whole records: ${Math.round((100 * (done + 1)) / files.length)}%` : "");
      if (before !== app.hits.length) draw();
    }
  }
}

// ---- drawing

const count = (number) => number.toLocaleString("en");
const byId = (id) => document.getElementById(id);

function status(text) {
  byId("working").textContent = text;
}

function rail() {
  const most = Math.max(...RUN.stages.map((stage) => stage.rows), 1);
  return h("nav", { id: "rail", "aria-label": "stages" }, RUN.stages.map((stage, i) => {
    const dropped = stage.rows - stage.kept;
    return h("a", { href: `#stage=${encodeURIComponent(stage.title)}`, id: `stage-${i}`, title: stage.about },
      h("b", {}, stage.title), h("small", {}, `${count(stage.kept)} kept${dropped ? `, ${count(dropped)} dropped` : ""}`),
      h("span", { class: "meter", style: `width:${Math.max(1, (100 * stage.rows) / most).toFixed(1)}%` },
        h("i", { class: "in", style: `flex:${stage.kept}` }), h("i", { class: "out", style: `flex:${dropped}` })));
  }));
}

// Evaluation items are all kept; what tells them apart is whether they were met.
const label = (state) => words(/ met$/.test(state) ? state.replace("kept: ", "") : state);
const tone = (state, kept) => (kept && !/ not met$/.test(state) ? "ok" : "no");

function chips() {
  const counts = new Map(app.stage.states.map(([state, number]) => [state, number]));
  if (app.filter.instruction) {
    for (const state of counts.keys()) counts.set(state, 0);
    app.index.state.forEach((state, i) => {
      if (app.index.instructions[app.index.instruction[i]] === app.filter.instruction) {
        counts.set(app.index.states[state], counts.get(app.index.states[state]) + 1);
      }
    });
  }
  const chip = (state, label, number, tone) => h("button", {
    type: "button", class: `chip ${tone}`, "aria-pressed": String(app.filter.state === state),
    onclick: () => { app.filter.state = state; app.at = 0; go(); },
  }, label, " ", h("b", {}, count(number)));
  const all = [...counts.values()].reduce((a, b) => a + b, 0);
  byId("chips").replaceChildren(chip("", "all", all, ""), ...app.stage.states.filter(([state]) => counts.get(state))
    .sort((a, b) => b[2] - a[2] || b[1] - a[1]).map(([state, , kept]) => chip(state, label(state), counts.get(state), tone(state, kept))));
}

function title(number) {
  const { index } = app;
  const about = index.instruction[number] < 0 ? "" : index.instructions[index.instruction[number]];
  const text = index.text[number];
  return [about ? h("bdi", { class: "what" }, about) : "", text && text !== about ? h("bdi", { class: "rest" }, text) : ""];
}

function card(number) {
  const state = app.index.states[app.index.state[number]], kept = number < app.stage.kept;
  const body = h("div", { class: "body" });
  const node = h("details", { class: `row ${tone(state, kept) === "ok" ? "" : "dropped"}`, id: `row-${number}` },
    h("summary", {}, h("span", { class: "number" }, count(number + 1)), tag(label(state), tone(state, kept)), title(number)), body);
  node.addEventListener("toggle", async () => {
    app.open[node.open ? "add" : "delete"](number);
    if (!node.open || body.childNodes.length) return;
    try {
      const found = await row(app.stage, number);
      const why = found.reason ? h("p", { class: "why" }, `Dropped: ${words(found.reason)}`, found.detail ? `. ${found.detail}` : "") : "";
      body.replaceChildren(...h("div", {}, why, record(found.record, app, found.matrix)).childNodes);
    } catch (error) {
      body.replaceChildren(h("p", { class: "why" }, `${error.message}: write the pages again with task=inspect`));
    }
  });
  node.open = app.open.has(number);
  return node;
}

function draw() {
  const { hits, at } = app;
  const shown = hits.slice(at, at + SHOWN);
  byId("count").textContent = hits.length
    ? `${count(at + 1)}–${count(at + shown.length)} of ${count(hits.length)}${hits.length < app.stage.rows ? ` (${count(app.stage.rows)} in all)` : ""}`
    : "no row matches";
  byId("rows").replaceChildren(...shown.map(card));
  byId("earlier").disabled = at === 0;
  byId("later").disabled = at + SHOWN >= hits.length;
}

function turn(step) {
  app.at = Math.max(0, Math.min(app.at + step * SHOWN, Math.floor((app.hits.length - 1) / SHOWN) * SHOWN));
  app.open.clear();
  draw();
  byId("tools").scrollIntoView();
}

async function trace() {
  const box = byId("trace"), text = app.filter.instruction;
  box.replaceChildren();
  if (!text) return;
  app.traced = app.traced || (await load("data/instructions.js", "instructions"));
  if (text !== app.filter.instruction) return;
  const steps = (app.traced[text] || []).map(([number, kept, dropped]) => {
    const stage = RUN.stages[number];
    return h("a", { href: address({ stage: stage.title, instruction: text }), "aria-current": stage === app.stage ? "step" : null },
      h("b", {}, stage.title), h("small", {}, kept ? h("span", { class: "okay" }, `${count(kept)} kept`) : "",
        kept && dropped ? ", " : "", dropped ? h("span", { class: "gone" }, `${count(dropped)} dropped`) : ""));
  });
  box.replaceChildren(h("p", {}, "Only this instruction: ", h("b", { dir: "auto" }, text), " ",
    h("button", { type: "button", onclick: () => { app.filter.instruction = ""; app.at = 0; go(); } }, "show all")),
  h("div", { class: "steps-along" }, steps));
}

// ---- addresses

function address({ stage, state, text, instruction }) {
  const values = { stage, state, text, instruction };
  return "#" + Object.entries(values).filter(([, value]) => value).map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
}

function go() {
  const wanted = address({ stage: app.stage.title, ...app.filter });
  if (location.hash === wanted) show();
  else location.hash = wanted;
}

// An instruction as the index knows it.
const line = (text) => [...text.replace(/[ \t\r\n\f\v]+/g, " ").replace(/^ +| +$/g, "")].slice(0, KEY).join("");

function follow(text) {
  app.filter = { state: "", text: "", instruction: line(text) };
  app.at = 0;
  go();
}

async function show() {
  const asked = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const stage = RUN.stages.find((known) => known.title === asked.stage) || RUN.stages[RUN.start];
  app.filter = { state: asked.state || "", text: asked.text || "", instruction: asked.instruction || "" };
  if (byId("text").value !== app.filter.text) byId("text").value = app.filter.text;
  byId("instruction").value = app.filter.instruction;
  if (app.stage !== stage) {
    app.stage = stage;
    app.index = null;
    app.at = 0;
    app.open = new Set();
    RUN.stages.forEach((known, i) => byId(`stage-${i}`).setAttribute("aria-current", known === stage ? "page" : "false"));
    byId("stage").replaceChildren(stage.title);
    byId("about").textContent = stage.about;
    byId(`stage-${RUN.stages.indexOf(stage)}`).scrollIntoView({ block: "nearest", inline: "center" });
    const index = await load(`${stage.folder}/index.js`, `${name(stage)}/index`).catch((error) => {
      status(`${error.message}: write the pages again with task=inspect`);
      return null;
    });
    if (!index || app.stage !== stage) return;
    app.index = index;
    byId("instructions").replaceChildren(...index.instructions.slice(0, CHOICES).map((value) => h("option", { value })));
  }
  if (!app.index) return;
  status("");
  chips();
  await Promise.all([trace(), find()]);
  if (!app.open.size && app.hits.length && matchMedia("(min-width: 60rem)").matches) byId(`row-${app.hits[app.at]}`).open = true;
  document.body.dataset.ready = "yes";
}

function start() {
  RUN.start = Math.max(0, RUN.stages.findIndex((stage) => stage.title === "verify_responses"));
  let typing = 0;
  const text = h("input", { id: "text", type: "search", placeholder: "Search these rows ( / )", "aria-label": "search", oninput: () => {
    clearTimeout(typing);
    typing = setTimeout(() => { app.filter.text = text.value.trim(); app.at = 0; go(); }, 250);
  } });
  const about = h("input", { id: "instruction", list: "instructions", placeholder: "Any instruction", "aria-label": "instruction",
    onchange: () => { app.filter.instruction = about.value.trim(); app.at = 0; go(); } });
  const total = RUN.stages.reduce((sum, stage) => sum + stage.rows, 0);
  byId("app").append(
    h("header", {}, h("h1", {}, RUN.name, h("small", {}, `${count(total)} records, kept and dropped`)),
      RUN.report ? h("a", { href: RUN.report }, "Report") : ""),
    rail(),
    h("main", {},
      h("h2", { id: "stage" }), h("p", { class: "about", id: "about" }), h("div", { id: "trace" }),
      h("div", { id: "tools" }, h("div", { id: "chips" }), h("div", { id: "fields" }, text, about, h("datalist", { id: "instructions" })),
        h("div", { class: "line" }, h("span", { id: "count", role: "status" }), h("span", { id: "working" }),
          h("button", { id: "earlier", type: "button", onclick: () => turn(-1) }, "‹ earlier"),
          h("button", { id: "later", type: "button", onclick: () => turn(1) }, "later ›"))),
      h("div", { id: "rows" }),
      h("p", { class: "small keys" }, "Keys: / search, j and k next and previous row, Enter opens, [ and ] pages.")));
  addEventListener("hashchange", show);
  addEventListener("keydown", key);
  show();
}

function key(event) {
  if (event.target.tagName === "INPUT" ? event.key !== "Escape" : event.ctrlKey || event.metaKey || event.altKey) return;
  const rows = [...document.querySelectorAll("#rows > details > summary")];
  const here = rows.indexOf(document.activeElement);
  const actions = {
    "/": () => byId("text").focus(), Escape: () => byId("text").blur(), "[": () => turn(-1), "]": () => turn(1),
    j: () => rows[Math.min(here + 1, rows.length - 1)]?.focus(), k: () => rows[Math.max(here - 1, 0)]?.focus(),
  };
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
}

start();
