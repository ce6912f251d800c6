// The view: which level is shown, and one transform that moves all of it.

const map = document.getElementById("map");
const world = document.getElementById("world");
const data = JSON.parse(document.getElementById("data").textContent);
const view = { x: 0, y: 0, scale: 1, level: "" };

const levelElement = (name) => document.getElementById(`level-${name}`);
const sizeOf = (name) => data.levels[name].size;
const stageSize = () => [map.clientWidth || 1, map.clientHeight || 1];

function paint() {
  world.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
}

function zoomAt(factor, x, y) {
  const scale = Math.min(4, Math.max(0.04, view.scale * factor));
  view.x = x - (x - view.x) * (scale / view.scale);
  view.y = y - (y - view.y) * (scale / view.scale);
  view.scale = scale;
  paint();
}

function zoomInTheMiddle(factor) {
  const [width, height] = stageSize();
  zoomAt(factor, width / 2, height / 2);
}

// Shows the whole level; at first no smaller than can be read, from the top left corner.
function fit({ readable = false } = {}) {
  const [width, height] = stageSize();
  const [w, h] = sizeOf(view.level);
  const whole = Math.min(width / w, height / h, 1.15);
  view.scale = readable ? Math.max(whole, Math.min(width / w, 1), 0.5) : whole;
  view.x = Math.max((width - w * view.scale) / 2, 0);
  view.y = Math.max((height - h * view.scale) / 2, 0);
  paint();
}

// Moves a box into sight, and no further than that.
function reveal([x, y, w, h]) {
  const [width, height] = stageSize();
  const margin = 60;
  if (view.scale < 0.45) zoomAt(0.7 / view.scale, 0, 0);
  const left = view.x + x * view.scale, right = left + w * view.scale;
  const top = view.y + y * view.scale, bottom = top + h * view.scale;
  if (right > width - margin) view.x -= right - width + margin;
  if (view.x + x * view.scale < margin) view.x = margin - x * view.scale;
  if (bottom > height - margin) view.y -= bottom - height + margin;
  if (view.y + y * view.scale < margin) view.y = margin - y * view.scale;
  paint();
}

function followPointers() {
  const held = new Map();
  let moved = false;
  map.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    held.set(event.pointerId, [event.clientX, event.clientY]);
    moved = false;
  });
  map.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    if (!moved && Math.hypot(dx, dy) < 4) return;
    if (!moved) map.setPointerCapture(event.pointerId);
    moved = true;
    map.classList.add("moving");
    if (held.size === 2) pinch(held, event);
    else [view.x, view.y] = [view.x + dx, view.y + dy];
    held.set(event.pointerId, [event.clientX, event.clientY]);
    paint();
  });
  const release = (event) => {
    held.delete(event.pointerId);
    map.classList.remove("moving");
  };
  map.addEventListener("pointerup", release);
  map.addEventListener("pointercancel", release);
  map.addEventListener("click", (event) => {
    if (moved) event.stopPropagation();
    moved = false;
  }, true);
  map.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = map.getBoundingClientRect();
    zoomAt(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
}

function pinch(held, event) {
  const other = [...held].find(([id]) => id !== event.pointerId)[1];
  const before = held.get(event.pointerId);
  const box = map.getBoundingClientRect();
  const length = (x, y) => Math.hypot(x - other[0], y - other[1]) || 1;
  const factor = length(event.clientX, event.clientY) / length(before[0], before[1]);
  zoomAt(factor, (event.clientX + other[0]) / 2 - box.left, (event.clientY + other[1]) / 2 - box.top);
}

// On paper the whole level is one picture.
function printWhole() {
  addEventListener("beforeprint", () => {
    const [w, h] = sizeOf(view.level);
    map.setAttribute("viewBox", `0 0 ${w} ${h}`);
    world.removeAttribute("transform");
  });
  addEventListener("afterprint", () => {
    map.removeAttribute("viewBox");
    paint();
  });
}
