// The panel: all that is known of a box. Text is only ever set as text.

const panel = document.getElementById("panel");
const SVG = map.namespaceURI;

// Makes an element: make("p", {class: "x"}, "text", child, …).
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "click") element.addEventListener("click", value);
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

// The icon of a status: the same shape as on the map.
function icon(word) {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  svg.setAttribute("class", `icon icon-${word}`);
  svg.setAttribute("viewBox", "0 0 10 10");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", data.icons[word] ?? "");
  svg.append(path);
  return svg;
}

const count = (number) => (number === null || number === undefined ? "" : number.toLocaleString("en"));

function showPanel(box) {
  const about = data.datasets[box.dataset];
  const close = make("button", { class: "plain", type: "button", "aria-label": "Close details", click: deselect }, "✕");
  const parts = [make("header", {}, make("h2", {}, box.label), close), pills(box)];
  if (box.status) parts.push(state(box.status, box.said));
  parts.push(...(about && view.level === "datasets" ? describeDataset(box, about) : describeGroup(box)));
  panel.replaceChildren(...parts);
  panel.hidden = false;
  panel.scrollTop = 0;
}

function hidePanel() {
  panel.hidden = true;
  panel.replaceChildren();
}

function pills(box) {
  return make("div", { class: "pills" }, ...[box.heading, box.detail, box.domain === "main" ? "" : `domain ${box.domain}`]
    .filter(Boolean).map((text) => make("span", { class: "pill" }, text)));
}

function state(word, said) {
  return make("p", {}, make("span", { class: `state state-${word}` }, icon(word), word === "never" ? " never run" : ` ${word}`),
    said ? ` · ${said}` : "");
}

function section(title, ...children) {
  return [make("h3", {}, title), ...children];
}

function goLink(name, text = name) {
  return make("button", { class: "link", type: "button", click: () => goTo(name) && panel.focus() }, text);
}

function list(items) {
  return make("ul", { class: "chips" }, ...items.map((item) => make("li", {}, item)));
}

function table(heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
}

function facts(pairs) {
  const rows = pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return make("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function describeGroup(box) {
  const members = (box.members ?? []).map((name) => data.levels.datasets.boxes.find((one) => one.id === name));
  const rows = members.map((member) => make("tr", {}, make("td", {}, goLink(member.id, member.label)),
    make("td", { class: "type" }, member.detail), make("td", {}, ...(member.status ? [icon(member.status), ` ${member.said}`] : []))));
  return section("What it holds", table(["Dataset", "Kind", "Status"], rows));
}

function describeDataset(box, about) {
  const parts = [];
  if (box.error) parts.push(make("p", { class: "error" }, box.error));
  if (about.description) parts.push(make("p", {}, about.description));
  parts.push(facts([["Owner", about.owner], ["Tags", about.tags.join(", ")], ["Kind", about.kind], ["Store", about.store],
    ["Rows", count(about.rows)], ["Version", about.version], ["Declared", about.declared]]));
  if (about.reads.length) parts.push(...section("Reads", list(about.reads.map((name) => goLink(name)))));
  if (about.read_by.length) parts.push(...section("Read by", list(about.read_by.map((name) => goLink(name)))));
  parts.push(...describeColumns(box.dataset, about), ...describeInfluence(about), ...describeChecks(about));
  if (about.rules.length) parts.push(...section("Preparation", make("pre", { tabindex: "0" }, about.rules.join("\n"))));
  parts.push(...describeRuns(about));
  if (about.code) parts.push(...section("Code", code(about.code, about.language)));
  return parts;
}

function describeColumns(dataset, about) {
  if (!about.columns.length) return section("Columns", make("p", { class: "unknown" }, about.unknown || "not known yet"));
  const rows = about.columns.map((column) => make("tr", { "data-column": column.name },
    make("td", { class: column.name.length < 22 ? "whole" : "" }, make("button", { class: "link column", type: "button", title: "Follow this column", click: () => traceColumn(dataset, column.name) },
      column.name), column.description ? make("small", {}, column.description) : ""),
    make("td", { class: column.type.length < 27 ? "type whole" : "type" }, shortType(column.type)),
    make("td", {}, column.unknown ? make("span", { class: "unknown", title: column.unknown }, "unknown") : leafList(column.from, dataset))));
  return section("Columns", make("div", { id: "path" }), table(["Column", "Type", "Made of"], rows));
}

const shortType = (type) => type.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ");

// Names a column; one of a dataset's own source without the dataset.
const shortLeaf = (dataset, column, own) =>
  dataset === `${own}/source` ? `source.${column}` : `${dataset.replace("/source", " (source)")}.${column}`;

function leafList(leaves, own = "") {
  if (!leaves.length) return make("span", { class: "unknown" }, "no column");
  return list(leaves.map(([dataset, column]) => goLink(dataset.endsWith("/source") ? dataset : `${dataset}.${column}`,
    shortLeaf(dataset, column, own))));
}

function describeInfluence(about) {
  const kinds = Object.entries(about.decided);
  if (!kinds.length) return [];
  return section("What decides its rows", facts(kinds.map(([kind, leaves]) => [kind, leafList(leaves)])));
}

function describeChecks(about) {
  if (!about.checks.length) return [];
  const rows = about.checks.map((check) => {
    const word = check.passed === null ? "not run" : check.passed ? "✓ passed" : check.severity === "warning" ? "! warning" : "✕ failed";
    const kind = check.passed === null ? "" : check.passed ? "state-done" : check.severity === "warning" ? "state-stale" : "state-failed";
    return make("tr", {}, make("td", {}, check.name), make("td", { class: `state ${kind}` }, word),
      make("td", { class: "number" }, check.failing ? `${count(check.failing)} of ${count(check.rows)}` : ""));
  });
  return section("Checks", table(["Check", "Last result", "Rows"], rows));
}

function describeRuns(about) {
  if (!about.runs.length) return [];
  const rows = about.runs.map((run) => make("tr", {}, make("td", { class: "whole" }, run.started.replace("T", " ").slice(0, 16)),
    make("td", { class: `whole state state-${run.status}` }, icon(run.status), ` ${run.status}`),
    make("td", {}, run.error || run.reason), make("td", { class: "number" }, run.changed),
    make("td", { class: "number" }, `${run.duration_s.toFixed(run.duration_s < 10 ? 2 : 0)} s`)));
  return section("Last runs (UTC)", table(["Started", "Status", "Why", "Rows", "Took"], rows));
}

const WORDS = {
  sql: "select from where group by order having join left right full inner outer cross on using as and or not in is null case when then else end with union all distinct cast qualify over partition limit filter between like exists values interval lateral recursive except intersect true false",
  python: "def return import from as if else elif for while in not and or is None True False with class lambda yield raise try except finally pass",
};

function code(text, language) {
  const known = new Set((WORDS[language] ?? "").split(" "));
  const comment = language === "python" ? "#[^\\n]*|\"\"\"[\\s\\S]*?\"\"\"" : "--[^\\n]*|/\\*[\\s\\S]*?\\*/";
  const token = new RegExp(`(${comment})|('(?:[^']|'')*'|"(?:[^"\\\\\\n]|\\\\.)*")|\\b(\\d[\\d_.]*)\\b|\\b([A-Za-z_]\\w*)\\b`, "g");
  const pre = make("pre", { tabindex: "0", "aria-label": "Code" });
  let last = 0;
  for (const match of text.matchAll(token)) {
    const word = match[4];
    const kind = match[1] ? "c" : match[2] ? "s" : match[3] ? "n" : known.has(language === "sql" ? word.toLowerCase() : word) ? "k" : "";
    if (!kind) continue;
    pre.append(text.slice(last, match.index), make("span", { class: kind }, match[0]));
    last = match.index + match[0].length;
  }
  pre.append(text.slice(last));
  return pre;
}
