"use strict";
// Tables work without this script; it adds sorting, filtering and a short first view.
document.documentElement.classList.add("js");

const key = (row, column) => {
  const cell = row.cells[column];
  const text = cell.dataset.v ?? cell.textContent.trim();
  const plain = text.replace(/[,\s%×≤]/g, "").replace("−", "-");
  const value = plain === "" ? NaN : Number(plain);
  return Number.isNaN(value) ? text.toLowerCase() : value;
};

// Numbers before words, unknown last, whatever the direction.
const compare = (a, b, direction) => {
  const unknown = (value) => value === "–" || value === "nan" || value === "";
  if (unknown(a) || unknown(b)) return unknown(a) - unknown(b);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return direction * (typeof a === "number" ? a - b : a.localeCompare(b, "en"));
};

for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const tools = document.querySelector(`.tools[data-for="${table.id}"]`);
  const search = tools?.querySelector("input");
  const select = tools?.querySelector("select");
  const limit = Number(table.dataset.limit || 0);
  let isOpen = !limit || body.rows.length <= limit;

  const more = document.createElement("button");
  more.className = "more";
  more.type = "button";
  more.addEventListener("click", () => { isOpen = true; show(); });
  if (!isOpen) table.parentElement.after(more);

  function show() {
    const wanted = (search?.value ?? "").toLowerCase();
    const choice = select?.value ?? "";
    let found = 0;
    let shown = 0;
    for (const row of body.rows) {
      const fits = row.textContent.toLowerCase().includes(wanted)
        && (!choice || row.cells[2].querySelector(".v")?.textContent === choice);
      found += fits;
      row.hidden = !fits || (!isOpen && shown >= limit);
      shown += !row.hidden;
    }
    more.hidden = isOpen || found <= limit;
    more.textContent = `Show all ${found}`;
    if (tools) tools.querySelector("output").textContent = `${shown} of ${body.rows.length}`;
  }

  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
      body.append(...[...body.rows].sort((a, b) => compare(key(a, column), key(b, column), direction)));
      show();
    });
  });
  search?.addEventListener("input", show);
  select?.addEventListener("change", show);
  show();
}
