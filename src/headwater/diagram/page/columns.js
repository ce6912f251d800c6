// Column lineage: where a column comes from and where it goes, over all datasets.

const below = new Map();
for (const [dataset, about] of Object.entries(data.datasets)) {
  for (const column of about.columns) {
    for (const [from, name] of column.from) link(below, `${from} ${name}`, [dataset, column.name]);
  }
}

const above = ([dataset, name]) => data.datasets[dataset]?.columns.find((column) => column.name === name)?.from ?? [];

function follow(start, next) {
  const found = [], seen = new Set([start.join(" ")]), queue = [start];
  while (queue.length) {
    for (const leaf of next(queue.shift())) {
      const key = leaf.join(" ");
      if (!seen.has(key)) {
        seen.add(key);
        found.push(leaf);
        queue.push(leaf);
      }
    }
  }
  return found;
}

function traceColumn(dataset, name) {
  const up = follow([dataset, name], above);
  const down = follow([dataset, name], (leaf) => below.get(leaf.join(" ")) ?? []);
  const names = (leaves) => new Set(leaves.map(([one]) => one));
  lightColumn(names(up), names(down), new Set([dataset]));
  const title = (text, leaves) => [make("h4", {}, text), leafList(leaves)];
  const path = make("div", { class: "path" }, ...title(`${name} comes from`, up), ...title("and goes into", down));
  panel.querySelector("#path")?.replaceChildren(path);
  for (const row of panel.querySelectorAll("tr[data-column]")) row.classList.toggle("traced", row.dataset.column === name);
  say(`${dataset}.${name}: comes from ${up.length} columns, goes into ${down.length}.`);
  history.replaceState(null, "", `#${encodeURI(`${dataset}.${name}`)}`);
}
