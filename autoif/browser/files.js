// Rows and indexes: each file is a script that hands its content to one of the functions of ``autoif``.

const HELD = 60; // pages of rows in memory

const waiting = new Map(); // key → what is asked for and not here yet
const autoif = {
  index: (folder, index) => settle(`${folder}/index`, index),
  page: (folder, number, rows, matrices) => settle(`${folder}/${number}`, { rows, matrices: matrices || [] }),
  traces: (traces) => settle("instructions", traces),
};
globalThis.autoif = autoif;

function settle(key, value) {
  const asked = waiting.get(key);
  waiting.delete(key);
  if (asked) asked.resolve(value);
}

function load(path, key) {
  if (waiting.has(key)) return waiting.get(key).promise;
  const asked = {}, script = h("script", { src: path, onload: () => script.remove() });
  asked.promise = new Promise((resolve, reject) => {
    asked.resolve = resolve;
    script.addEventListener("error", () => { script.remove(); waiting.delete(key); reject(new Error(`${path} is missing`)); });
  });
  waiting.set(key, asked);
  document.head.append(script);
  return asked.promise;
}

const name = (stage) => stage.folder.split("/").pop();

async function page(stage, number) {
  const key = `${name(stage)}/${number}`;
  if (!app.pages.has(key)) {
    app.pages.set(key, load(`${stage.folder}/${number}.js`, key));
    for (const old of [...app.pages.keys()].slice(0, -HELD)) app.pages.delete(old);
  }
  return app.pages.get(key);
}

async function row(stage, number) {
  const { rows, matrices } = await page(stage, Math.floor(number / stage.size));
  const found = rows[number % stage.size], kept = number < stage.kept;
  return {
    kept, reason: kept ? "" : found.reason, detail: kept ? "" : found.detail, record: kept ? found : found.record,
    matrix: matrices[number % stage.size],
  };
}
