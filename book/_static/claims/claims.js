/* Filters for the page of claims, an anchor for each claim, a sign for each above them, and the names of columns for
   narrow pages.

   The page is whole without it: tables under their headings. Filters appear in the empty <div class="claims-filters">,
   signs in <div class="claims-strip">. */
(function () {
  "use strict";

  const place = document.querySelector(".claims-filters");
  if (!place) return;

  const SIGNS = { holds: "●", "in part": "◐", undecided: "○", fails: "✕", "not tried": "–" };
  const VERDICTS = Object.keys(SIGNS);
  const DATA = { "": "all", MNIST: "MNIST", "CIFAR-10": "CIFAR-10", "CIFAR-100": "CIFAR-100" };
  const WHOSE = { "": "all", paper: "the paper", ours: "us", notes: "other sources" };
  const OURS = "(our question)";

  const slug = (text) => "claim-" + text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");

  /* A claim is a row of a table whose columns have these names; what it is filtered by. */
  function claimsOf(table, whose) {
    const columns = [...table.querySelectorAll("thead th")].map((cell) => cell.textContent.trim());
    const [what, verdict] = ["claim", "verdict"].map((name) => columns.indexOf(name));
    if (what < 0 || verdict < 0) return [];
    table.classList.add("claims");
    return [...table.querySelectorAll("tbody tr")].map((row) => {
      const cells = [...row.cells];
      cells.forEach((cell, at) => {
        cell.dataset.column = columns[at];
        cell.classList.toggle("claims-empty", !cell.textContent.trim());
      });
      const text = cells[what].textContent.trim();
      const found = cells[verdict].querySelector("strong").textContent.trim();
      row.id = slug(text.replace(OURS, ""));
      row.dataset.verdict = found;
      cells[verdict].classList.add("claims-verdict");
      (cells[what].querySelector("p:last-of-type") || cells[what]).append(anchor(row.id));
      return { row, text, verdict: found, whose: text.includes(OURS) ? "ours" : whose,
        data: (text.match(/MNIST|CIFAR-100|CIFAR-10/g) || []) };
    });
  }

  /* A line for each part of the paper, a sign for each of its claims: all verdicts at a glance, each a way to its row. */
  function strip(sections) {
    const lines = sections.map(({ section, claims }) => {
      const line = document.createElement("li");
      const [part, signs] = [document.createElement("span"), document.createElement("div")];
      part.textContent = parts[section.id];
      line.append(part, signs);
      signs.append(...claims.filter(({ whose }) => whose !== "ours").map(({ row, text, verdict }) => {
        const link = document.createElement("a");
        Object.assign(link, { href: `#${row.id}`, textContent: SIGNS[verdict], title: `${text}: ${verdict}` });
        link.setAttribute("aria-label", link.title);
        link.dataset.verdict = verdict;
        return link;
      }));
      return line;
    });
    const list = document.createElement("ul");
    list.append(...lines);
    oneStop([...list.querySelectorAll("a")]);
    const key = document.createElement("p");
    key.textContent = "Claims, part by part. " + VERDICTS.map((name) => `${SIGNS[name]} ${name}`).join(", ");
    return [key, list];
  }

  /* Tab stops once at these links; arrows go from one to the next. */
  function oneStop(links) {
    links.forEach((link, at) => {
      link.tabIndex = at ? -1 : 0;
      link.addEventListener("keydown", (event) => {
        const next = links[at + { ArrowRight: 1, ArrowLeft: -1 }[event.key]];
        if (!next) return;
        event.preventDefault();
        link.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      });
    });
  }

  function anchor(id) {
    const link = document.createElement("a");
    link.className = "claims-anchor";
    link.href = `#${id}`;
    link.textContent = "#";
    link.setAttribute("aria-label", "Link to this claim");
    return link;
  }

  function named(title, field) {
    const label = document.createElement("label");
    const both = document.createElement("div");
    field.id = `claims-${field.name}`;
    label.htmlFor = field.id;
    label.textContent = title;
    both.append(label, field);
    return both;
  }

  function choice(name, title, options) {
    const select = document.createElement("select");
    select.name = name;
    select.append(...Object.entries(options).map(([value, text]) => new Option(text, value)));
    return named(title, select);
  }

  const sections = [...document.querySelectorAll("section")]
    .filter((section) => section.querySelector(":scope > h2"))
    .map((section) => ({ section, claims: [...section.querySelectorAll("table")].flatMap((table) =>
      claimsOf(table, section.id.includes("evolution") ? "notes" : "paper")) }))
    .filter(({ claims }) => claims.length);
  const all = sections.flatMap(({ claims }) => claims);
  const parts = Object.fromEntries(sections.map(({ section }) => {
    const heading = section.querySelector("h2").cloneNode(true);
    heading.querySelectorAll("a").forEach((link) => link.remove());
    return [section.id, heading.textContent.trim()];
  }));

  const form = document.createElement("form");
  form.setAttribute("aria-label", "Filter the claims");
  const input = document.createElement("input");
  Object.assign(input, { type: "search", name: "words", autocomplete: "off" });
  const clear = document.createElement("button");
  Object.assign(clear, { type: "reset", textContent: "all claims" });
  const status = document.createElement("p");
  status.setAttribute("role", "status");
  form.append(
    choice("verdict", "verdict", { "": "all", ...Object.fromEntries(VERDICTS.map((name) => [name, name])) }),
    choice("part", "part of the paper", { "": "all", ...parts }), choice("data", "data set", DATA),
    choice("whose", "asked by", WHOSE), named("words", input), clear);
  place.append(form, status);
  const above = document.querySelector(".claims-strip");
  if (above) above.append(...strip(sections));

  function show() {
    const wanted = Object.fromEntries(new FormData(form));
    const terms = wanted.words.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { section, claims } of sections) {
      for (const claim of claims) {
        claim.row.hidden = !(
          (!wanted.verdict || claim.verdict === wanted.verdict) && (!wanted.part || section.id === wanted.part)
          && (!wanted.data || claim.data.includes(wanted.data)) && (!wanted.whose || claim.whose === wanted.whose)
          && terms.every((term) => claim.row.textContent.toLowerCase().includes(term)));
      }
      section.hidden = claims.every((claim) => claim.row.hidden);
    }
    const shown = all.filter((claim) => !claim.row.hidden);
    const counts = VERDICTS.map((name) => [shown.filter((claim) => claim.verdict === name).length, name])
      .filter(([count]) => count).map(([count, name]) => `${count} ${count > 1 ? name.replace(/s$/, "") : name}`);
    status.textContent = `${shown.length} of ${all.length} claims` + (counts.length ? `: ${counts.join(", ")}` : "");
  }

  form.addEventListener("input", show);
  form.addEventListener("reset", () => setTimeout(show)); // the fields are empty after this event
  form.addEventListener("submit", (event) => event.preventDefault());
  if (above) above.addEventListener("click", () => { // the row it leads to may be filtered out
    form.reset();
    show();
  });
  show();

  /* The browser looked for an anchor before there was one. */
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.closest("table.claims")) target.scrollIntoView();
})();
