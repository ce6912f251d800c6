// The page: theme, keys that hold everywhere, and the start.

const THEMES = { auto: ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

function setTheme(name) {
  const button = document.getElementById("theme");
  button.textContent = THEMES[name][0];
  button.setAttribute("aria-label", `Theme: ${THEMES[name][1]}`);
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}

function kept(value) {
  try {
    if (value === undefined) return localStorage.getItem("headwater-theme");
    localStorage.setItem("headwater-theme", value);
  } catch {
    // A page from a file may have no storage: then the choice holds until it is closed.
  }
  return null;
}

function switchTheme() {
  let name = THEMES[kept()] ? kept() : "auto";
  setTheme(name);
  document.getElementById("theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    name = names[(names.indexOf(name) + 1) % names.length];
    setTheme(name);
    kept(name);
  });
}

const KEYS = {
  "/": () => input.focus(), "+": () => zoomInTheMiddle(1.25), "=": () => zoomInTheMiddle(1.25), "-": () => zoomInTheMiddle(0.8),
  0: () => fit(), "?": () => document.getElementById("keys").showModal(),
  1: () => changeLevel("architecture"), 2: () => changeLevel("domains"), 3: () => changeLevel("datasets"),
  Escape: () => selected && deselect(),
};

function changeLevel(name) {
  hidePanel();
  showLevel(name);
  remember(null);
}

function keysEverywhere() {
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input[type=search], dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  const click = { closer: () => zoomInTheMiddle(1.25), further: () => zoomInTheMiddle(0.8), fit: () => fit(), help: KEYS["?"] };
  for (const [id, action] of Object.entries(click)) document.getElementById(id).addEventListener("click", action);
  document.getElementById("levels").addEventListener("change", (event) => changeLevel(event.target.value));
}

const linked = () => {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
};

switchTheme();
showLevel(data.level);
followPointers();
walkByKeys();
searchByKeys();
keysEverywhere();
printWhole();
if (linked()) goTo(linked());
addEventListener("hashchange", () => linked() && goTo(linked()));
addEventListener("resize", () => selected ? reveal(boxes.get(selected).place) : fit({ readable: true }));
