// Boxes and arrows: what is selected, what lies above and below it, and the walk by keys.

const boxes = new Map();
const arrows = { up: new Map(), down: new Map() };
let selected = null;

function readLevel(name) {
  boxes.clear();
  arrows.up.clear();
  arrows.down.clear();
  for (const box of data.levels[name].boxes) boxes.set(box.id, { ...box });
  for (const element of levelElement(name).querySelectorAll(".node")) {
    boxes.get(element.dataset.node).element = element;
  }
  for (const path of levelElement(name).querySelectorAll("path[data-from]")) {
    const { from, to } = path.dataset;
    link(arrows.down, from, { box: to, path });
    link(arrows.up, to, { box: from, path });
  }
}

function link(where, key, value) {
  if (!where.has(key)) where.set(key, []);
  where.get(key).push(value);
}

function showLevel(name) {
  clearLight();
  for (const other of Object.keys(data.levels)) levelElement(other).toggleAttribute("hidden", other !== name);
  view.level = name;
  selected = null;
  readLevel(name);
  document.querySelector(`#levels input[value=${name}]`).checked = true;
  const first = boxes.values().next().value;
  if (first) stop(first.element);
  fit({ readable: true });
}

// One box at a time is a stop of the Tab key.
function stop(element) {
  levelElement(view.level).querySelector(".node[tabindex='0']")?.setAttribute("tabindex", "-1");
  element.setAttribute("tabindex", "0");
}

function reach(id, where) {
  const seen = new Set(), paths = new Set(), queue = [id];
  while (queue.length) {
    for (const { box, path } of where.get(queue.pop()) ?? []) {
      paths.add(path);
      if (!seen.has(box) && box !== id) {
        seen.add(box);
        queue.push(box);
      }
    }
  }
  return { seen, paths };
}

function clearLight() {
  if (!view.level) return;
  const level = levelElement(view.level);
  level.classList.remove("lit");
  for (const element of level.querySelectorAll(".on")) element.classList.remove("on", "up", "down", "self");
  for (const element of level.querySelectorAll("[aria-pressed=true]")) element.setAttribute("aria-pressed", "false");
}

function light(id) {
  clearLight();
  levelElement(view.level).classList.add("lit");
  for (const side of ["up", "down"]) {
    const { seen, paths } = reach(id, arrows[side]);
    for (const other of seen) boxes.get(other).element.classList.add("on", side);
    for (const path of paths) path.classList.add("on", side);
  }
  const self = boxes.get(id).element;
  self.classList.remove("up", "down");
  self.classList.add("on", "self");
  self.setAttribute("aria-pressed", "true");
}

// Lights the boxes that a column's value comes through, and the arrows between them.
function lightColumn(up, down, self) {
  clearLight();
  levelElement(view.level).classList.add("lit");
  const named = (box, names) => names.has(box.id) || (names.has(box.dataset) && box.role !== "source");
  for (const box of boxes.values()) {
    const side = named(box, self) ? "self" : named(box, up) ? "up" : named(box, down) ? "down" : "";
    if (side) box.element.classList.add("on", side);
  }
  for (const entries of arrows.down.values()) {
    for (const { path } of entries) {
      const ends = [path.dataset.from, path.dataset.to].map((id) => boxes.get(id).element.classList);
      if (ends.every((list) => list.contains("on"))) {
        path.classList.add("on", ends.some((list) => list.contains("down")) ? "down" : "up");
      }
    }
  }
}

function select(id, { focus = false } = {}) {
  const box = boxes.get(id);
  if (!box) return;
  selected = id;
  stop(box.element);
  light(id);
  showPanel(box);
  reveal(box.place);
  if (focus) box.element.focus({ preventScroll: true });
  const above = reach(id, arrows.up).seen.size, below = reach(id, arrows.down).seen.size;
  say(`${box.title}. ${above} above, ${below} below.`);
  remember(box);
}

function deselect() {
  const box = boxes.get(selected);
  selected = null;
  clearLight();
  hidePanel();
  if (box) box.element.focus({ preventScroll: true });
  remember(null);
}

function say(text) {
  document.getElementById("said").textContent = text;
}

function remember(box) {
  const name = box?.dataset ? (box.role === "dataset" ? box.dataset : box.id) : "";
  history.replaceState(null, "", name ? `#${encodeURI(name)}` : location.pathname + location.search);
}

// Goes to a dataset, a node or a column by its name; true when there is one.
function goTo(name, { focus = false } = {}) {
  const all = data.levels.datasets.boxes;
  const found = all.find((box) => box.id === name) ?? all.find((box) => box.dataset === name);
  if (found) {
    if (view.level !== "datasets") showLevel("datasets");
    select(found.id, { focus });
    return true;
  }
  const cut = name.lastIndexOf(".");
  const dataset = name.slice(0, cut), column = name.slice(cut + 1);
  if (cut < 1 || !data.datasets[dataset]?.columns.some((one) => one.name === column)) return false;
  goTo(dataset, { focus });
  traceColumn(dataset, column);
  return true;
}

const middle = ([x, y, w, h]) => [x + w / 2, y + h / 2];

function neighbour(box, direction) {
  const upright = view.level === "architecture";
  const along = upright ? { ArrowDown: "down", ArrowUp: "up" } : { ArrowRight: "down", ArrowLeft: "up" };
  const axis = upright ? 0 : 1;
  const here = middle(box.place)[axis];
  const distance = (other) => Math.abs(middle(other.place)[axis] - here);
  if (along[direction]) {
    const ends = (arrows[along[direction]].get(box.id) ?? []).map((arrow) => boxes.get(arrow.box));
    return ends.sort((one, other) => distance(one) - distance(other))[0];
  }
  const sign = direction === "ArrowDown" || direction === "ArrowRight" ? 1 : -1;
  const beside = [...boxes.values()].filter((other) =>
    other.layer === box.layer && (middle(other.place)[axis] - here) * sign > 1);
  return beside.sort((one, other) => distance(one) - distance(other))[0];
}

function walkByKeys() {
  world.addEventListener("keydown", (event) => {
    const box = boxes.get(event.target.closest(".node")?.dataset.node);
    if (!box || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith("Arrow")) {
      event.preventDefault();
      const next = neighbour(box, event.key);
      if (!next) return;
      stop(next.element);
      next.element.focus({ preventScroll: true });
      reveal(next.place);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      select(box.id);
    }
  });
  world.addEventListener("click", (event) => {
    const node = event.target.closest(".node");
    if (node) select(node.dataset.node, { focus: true });
  });
  map.addEventListener("click", (event) => {
    if (!event.target.closest(".node") && selected) deselect();
  });
}
