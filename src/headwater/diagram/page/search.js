// Search over datasets, columns, owners, tags and descriptions.

const input = document.getElementById("search");
const results = document.getElementById("found");
const entries = [];
let chosen = -1;

function fillEntries() {
  const shown = new Set(data.levels.datasets.boxes.map((box) => box.dataset));
  for (const name of shown) {
    const about = data.datasets[name];
    const words = about ? [about.description, about.owner, ...about.tags] : [];
    entries.push({ name, text: name, kind: about?.kind ?? "", also: words.join(" ").toLowerCase() });
    for (const column of about?.columns ?? []) {
      entries.push({ name: `${name}.${column.name}`, text: column.name, kind: `column of ${name}`, also: column.description.toLowerCase() });
    }
  }
}

function rank(entry, wanted) {
  const text = entry.text.toLowerCase();
  if (text === wanted) return 0;
  if (text.startsWith(wanted)) return 1;
  if (text.includes(wanted)) return 2;
  if (entry.name.toLowerCase().includes(wanted)) return 3;
  return entry.also.includes(wanted) ? 4 : 9;
}

function find() {
  const wanted = input.value.trim().toLowerCase();
  if (!wanted) return hideResults();
  const found = entries.map((entry) => [rank(entry, wanted), entry]).filter(([place]) => place < 9)
    .sort((one, other) => one[0] - other[0] || one[1].name.length - other[1].name.length).slice(0, 12);
  results.replaceChildren(...found.map(([, entry], index) => make("li", { role: "option", id: `found-${index}`, "aria-selected": "false",
    "data-name": entry.name, click: () => take(entry.name) }, make("b", {}, entry.text), make("span", {}, entry.kind))));
  if (!found.length) results.append(make("li", { class: "none", role: "option", "aria-disabled": "true", "aria-selected": "false" }, "nothing found"));
  results.hidden = false;
  input.setAttribute("aria-expanded", "true");
  choose(found.length ? 0 : -1);
  say(`${found.length} found`);
}

function choose(index) {
  const items = [...results.querySelectorAll("li[data-name]")];
  chosen = items.length ? (index + items.length) % items.length : -1;
  items.forEach((item, place) => item.setAttribute("aria-selected", String(place === chosen)));
  if (chosen < 0) input.removeAttribute("aria-activedescendant");
  else {
    input.setAttribute("aria-activedescendant", items[chosen].id);
    items[chosen].scrollIntoView({ block: "nearest" });
  }
}

function hideResults() {
  results.hidden = true;
  chosen = -1;
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
}

function take(name) {
  hideResults();
  input.value = "";
  goTo(name, { focus: true });
}

function searchByKeys() {
  fillEntries();
  input.addEventListener("input", find);
  input.addEventListener("blur", hideResults);
  results.addEventListener("pointerdown", (event) => event.preventDefault());
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (results.hidden) find();
      else choose(chosen + (event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "Enter" && chosen >= 0) {
      take(results.querySelectorAll("li[data-name]")[chosen].dataset.name);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      input.value = "";
      hideResults();
      input.blur();
    }
  });
}
