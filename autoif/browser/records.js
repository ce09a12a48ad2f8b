"use strict";
// How a record looks. Every text becomes a text node: nothing that a model wrote is ever read as markup.

const OUTCOMES = {
  T: ["✓", "true", "ok"], F: ["✗", "false", "no"], N: ["∅", "returned None", "odd"], O: ["?", "returned no boolean", "odd"],
  E: ["!", "raised an error", "odd"], M: ["M", "out of memory", "odd"], L: ["L", "does not load", "odd"],
  X: ["⏱", "timed out", "odd"], C: ["✕", "crashed the process", "odd"], S: ["·", "skipped", "odd"],
};
const LETTER = {
  true: "T", false: "F", none: "N", other: "O", error: "E", memory: "M", load_error: "L", timeout: "X", crash: "C",
  skipped: "S",
};
const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb]/g;
const TOKEN = new RegExp([
  "(#[^\\n]*)",
  "(\"\"\"[\\s\\S]*?\"\"\"|'''[\\s\\S]*?'''|[rbfu]{0,2}\"(?:\\\\.|[^\"\\\\\\n])*\"|[rbfu]{0,2}'(?:\\\\.|[^'\\\\\\n])*')",
  "\\b(def|return|if|elif|else|for|while|in|not|and|or|is|import|from|as|try|except|finally|with|lambda|class|pass|" +
    "break|continue|raise|True|False|None|any|all|yield|assert|global)\\b",
].join("|"), "g");

function visible(text) {
  return String(text).replace(INVISIBLE, (c) => `⟨U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

function h(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child != null && child !== "" && child !== false) {
      node.append(child instanceof Node ? child : document.createTextNode(visible(child)));
    }
  }
  return node;
}

const tag = (text, tone) => h("span", { class: `tag ${tone || ""}` }, text);
const field = (label, ...content) => [h("p", { class: "field" }, label), ...content];
const words = (name) => String(name).replaceAll("_", " ");
const share = (label, value) => (value == null ? "" : tag(`${label} ${Number(value).toFixed(2)}`));
const score = (value) => (value == null ? "" : tag(`score ${value} of 10`));

function block(text, kind = "prose") {
  return String(text).trim() ? h("pre", { class: kind, dir: "auto" }, text) : h("p", { class: "small" }, "(empty)");
}

function code(text) {
  const pre = h("pre", { class: "code" });
  let last = 0;
  for (const match of String(text).matchAll(TOKEN)) {
    pre.append(visible(text.slice(last, match.index)));
    pre.append(h("span", { class: match[1] ? "comment" : match[2] ? "string" : "keyword" }, match[0]));
    last = match.index + match[0].length;
  }
  pre.append(visible(text.slice(last)));
  return pre;
}

// ``wanted``: the outcome that would be right, where not True is; null for a cell that judges nothing.
function cell(letter, label, wanted = "T") {
  const [sign, meaning, tone] = OUTCOMES[letter] || ["", "not run", ""];
  const judged = wanted === null ? "" : tone === "odd" ? tone : letter === wanted ? "ok" : "no";
  return h("td", { class: `cell ${judged}`, title: `${label}: ${meaning}` }, sign);
}

// A grid of outcomes; rows and columns are numbered as the functions, cases and responses below it are.
// A row: its name, one letter a column, what stands behind it, and (see cell) what would be right in each column.
function grid(caption, heads, rows) {
  if (!rows.length || !heads.length) return "";
  return h("div", { class: "scroll" }, h("table", { class: "matrix" },
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, h("th", {}), heads.map((head) => h("th", { title: head[1] }, head[0])))),
    h("tbody", {}, rows.map(([name, letters, after, right]) => h("tr", {}, h("th", {}, name),
      [...letters].map((letter, i) => cell(letter, `${name}, ${heads[i] ? heads[i][0] : ""}`, right && right[i])),
      h("td", { class: "after" }, after))))));
}

function functions(list) {
  return list.map((item, i) => {
    const text = typeof item === "string" ? item : item.code;
    const nli = item.nli && tag(item.nli, item.nli === "contradiction" ? "no" : "ok");
    return h("div", { class: "function" },
      h("p", { class: "field" }, `function f${i + 1} `, share("accuracy", item.accuracy), " ", nli),
      code(text), item.back_translation ? field("read back as", block(item.back_translation, "plain")) : "");
  });
}

function verifier(row, app, matrix) {
  const cases = row.cases || [];
  const heads = cases.map((c, i) => [`c${i + 1}`, (c.expected ? "must pass: " : "must fail: ") + c.input.slice(0, 200)]);
  const expected = cases.map((c) => (c.expected ? "T" : "F"));
  const votes = (matrix || []).map((letters, i) => {
    const right = [...letters].filter((letter, j) => letter === expected[j]).length;
    return [`f${i + 1}`, letters, `${right} of ${letters.length} as expected`, expected];
  });
  return [
    app.instruction(row.instruction.text),
    matrix ? grid("Functions on cases", heads, [["expected", expected, "", expected.map(() => null)], ...votes]) : "",
    h("div", { class: "pair" },
      row.functions.length ? h("div", {}, functions(row.functions)) : "",
      cases.length ? h("div", {}, field("cases", cases.map((c, i) => h("div", { class: "case" },
        h("div", {}, tag(`c${i + 1} ${c.expected ? "must pass" : "must fail"}`, c.expected ? "ok" : "no"), share("accuracy", c.accuracy)),
        h("div", {}, block(c.input)))))) : ""),
  ];
}

function response(item, i) {
  const verdicts = (item.outcomes || []).map((outcome, j) => {
    const [sign, meaning, tone] = OUTCOMES[LETTER[outcome]] || ["", outcome, ""];
    return [h("span", { class: `tag ${tone}`, title: `function f${j + 1}: ${meaning}` }, `f${j + 1} ${sign}`), " "];
  });
  const state = item.dropped ? tag(words(item.dropped), "no") : tag("kept", "ok");
  return h("div", { class: `answer ${item.dropped ? "dropped" : ""}` },
    h("p", { class: "field" }, `response r${i + 1} `, state, " ", share("accuracy", item.accuracy), " ", score(item.score), " ",
      verdicts), block(item.text));
}

function prompt(row, app) {
  return [app.instruction(row.instruction), field("prompt", block(row.text))];
}

function answers(row, app) {
  const list = row.prompt.functions || [];
  const heads = list.map((f, i) => [`f${i + 1}`, f.code.slice(0, 300)]);
  const judged = row.responses.filter((r) => (r.outcomes || []).length);
  return [
    prompt(row.prompt, app),
    grid("Responses under functions", heads, judged.map((r) => [`r${row.responses.indexOf(r) + 1}`,
      r.outcomes.map((o) => LETTER[o] || "").join(""), r.dropped ? words(r.dropped) : "kept"])),
    row.responses.map(response),
    list.length ? h("details", { class: "long" }, h("summary", {}, `${list.length} function${list.length > 1 ? "s" : ""}`),
      functions(list)) : "",
  ];
}

function conversation(turns) {
  return turns.map((turn) => field(turn.role, block(turn.content)));
}

function side(name, text, tone, facts) {
  return h("div", {}, tag(name, tone), " ", facts, block(text));
}

function pair(row) {
  return [conversation(row.prompt), h("div", { class: "pair" },
    side("chosen", row.chosen, "ok", share("accuracy", row.chosen_accuracy)),
    side("rejected", row.rejected, "no", share("accuracy", row.rejected_accuracy)))];
}

function group(row) {
  const ranked = [...row.answers].sort((a, b) => b.reward - a.reward);
  return [conversation(row.prompt), ranked.map((answer) => side(`reward ${answer.reward.toFixed(2)}`, answer.text,
    answer.advantage > 0 ? "ok" : "no", tag(`advantage ${answer.advantage.toFixed(2)}`)))];
}

function evaluated(row, app) {
  const scores = Object.entries(row.scores).map(([name, value]) => [tag(`${words(name)} ${+value.toFixed(3)}`,
    value >= 1 ? "ok" : value <= 0 ? "no" : ""), " "]);
  const parts = Object.entries(row.parts || {}).filter(([, values]) => values.length > 1).map(([name, values]) =>
    field(words(name), values.map((value, i) => [tag(`${(row.labels || [])[i] || i + 1} ${value}`, value >= 1 ? "ok" : "no"), " "])));
  return [app.instruction(row.prompt), h("p", { class: "field" }, `answer of ${row.model} `, scores), block(row.response),
    parts, row.judge ? tag(`judge ${row.judge}`) : "", row.detail ? field("detail", block(row.detail)) : ""];
}

// The parts of a record, by the fields it has: a dropped row may be another kind of record than its stage keeps.
function record(row, app, matrix) {
  if (row == null || typeof row !== "object") return [block(JSON.stringify(row), "code")];
  if ("functions" in row && "cases" in row && row.instruction) return verifier(row, app, matrix);
  if ("responses" in row && row.prompt) return answers(row, app);
  if ("scores" in row && "response" in row) return evaluated(row, app);
  if ("chosen" in row && Array.isArray(row.prompt)) return pair(row);
  if ("answers" in row && Array.isArray(row.prompt)) return group(row);
  if (Array.isArray(row.messages)) {
    const facts = h("p", {}, share("accuracy", row.accuracy), " ", score(row.score));
    return [row.instruction ? app.instruction(row.instruction) : "", facts, conversation(row.messages),
      (row.functions || []).length ? h("details", { class: "long" }, h("summary", {}, "functions that verified it"),
        functions(row.functions)) : ""];
  }
  if ("query" in row && "instruction" in row) return [prompt(row, app), functions(row.functions || [])];
  if ("origin" in row) return [app.instruction(row.text), tag(row.origin), row.parent ? tag("rewrite") : ""];
  if ("split" in row) return [block(row.text, "plain"), tag(row.source), " ", tag(row.split)];
  if ("index" in row && "text" in row) return [field(`raw reply ${row.index}`, block(row.text))];
  return [block(JSON.stringify(row, null, 1), "code")];
}
