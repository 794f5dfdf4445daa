/* Step through a search. Turns every <div class="explorer"> of the page into an explorer.

   paint.js and data-index.js come before this script. The latter lists the searches; each is a file beside it, loaded by
   a script tag when it is chosen, so that the page works from a disk, too. book/explorer.py makes them and says what is
   in them. */
(function () {
  "use strict";

  const { index, searches } = window.repsearchExplorer;
  const { blueToRed, box, bytes, line, paint, paintImage, text } = window.repsearchPaint;
  const here = new URL(".", document.currentScript.src).href;
  const READINGS = {
    map: "one draw a map, noise smoothed",
    pixel: "one draw a pixel, noise smoothed",
    literal: "one draw a pixel, child smoothed",
  };
  const NOTES = { map: " (default)", pixel: "", literal: " (literal)" };
  const KINDS = ["copies", "explorers", "refiners", "parents"]; // the last is drawn on top
  const SHAPES = {
    copies: (x, y) => `M${x - 3.5},${y - 3.5}h7v7h-7z`,
    parents: (x, y) => `M${x},${y - 5}l5,5l-5,5l-5,-5z`,
    explorers: (x, y) => `M${x},${y - 4.5}l4.5,8h-9z`,
    refiners: (x, y) => `M${x - 3.5},${y}a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0 -7,0z`,
  };

  // The steps of the slider: every few generations of one layer after the other.
  const STEPS = index.layers.flatMap((layer, number) =>
    layer.generations.map((generation) => ({ layer: number, generation })));
  const firstStep = (layer) => STEPS.findIndex((step) => step.layer === layer);
  const lastGeneration = (layer) => index.layers[layer].generations.at(-1);
  const isLogits = (step) => step.layer === index.sides.length;

  // ---- data

  const scaled = (byte, [low, high]) => low + (byte / 255) * (high - low);

  function load(key) {
    if (searches[key]) return Promise.resolve(searches[key]);
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${here}data-${key}.js`;
      script.onload = () => resolve(searches[key]);
      script.onerror = () => reject(new Error(key));
      document.head.append(script);
    });
  }

  /* Where a step's map lies among the bytes. Of what has no smoothing behind it, first copies and logits, no second
     map is stored. */
  function mapBytes(search, number, rough) {
    const step = STEPS[number];
    const stored = (s) => !rough || (s.generation > 0 && !isLogits(s));
    if (!stored(step)) return mapBytes(search, number, false);
    const size = (s) => (stored(s) ? (isLogits(s) ? 10 : index.sides[s.layer] ** 2) : 0);
    const first = STEPS.slice(0, number).reduce((sum, s) => sum + size(s), 0);
    return bytes(rough ? search.unsmoothed : search.smooth).subarray(first, first + size(step));
  }

  function candidates(search, number, sizes) {
    const count = sizes.parents + sizes.explorers + sizes.refiners;
    const cloud = bytes(search.cloud).subarray(2 * count * number, 2 * count * (number + 1));
    return Array.from({ length: count }, (_, i) => ({
      distance: scaled(cloud[2 * i], index.limits.distances),
      loss: 10 ** scaled(cloud[2 * i + 1], index.limits.losses),
      kind: STEPS[number].generation === 0 ? "copies" : kindOf(i, sizes),
    }));
  }

  function kindOf(i, sizes) {
    if (i < sizes.parents) return "parents";
    return i < sizes.parents + sizes.explorers ? "explorers" : "refiners";
  }

  // ---- words

  function digits(value) {
    if (value < 0.0001) return "below 0.0001";
    return value >= 0.0095 ? value.toPrecision(2) : value.toFixed(4).replace(/0+$/, "");
  }
  function percent(loss) {
    const share = 100 * Math.exp(-loss);
    return share > 99.9 ? "over 99.9\u00a0%" : `${share.toFixed(share > 99 ? 1 : 0)}\u00a0%`;
  }
  const ofAll = (step) => `${step.generation} of ${lastGeneration(step.layer)}`;
  const place = (step) => `${index.layers[step.layer].name}, generation ${ofAll(step)}`;
  const when = (step) => (step.generation ? `after generation ${ofAll(step)}` : "before the first generation");
  const where = (layer) => (layer === index.sides.length ? "the logits" : index.layers[layer].name);
  const lossAt = (search, step) => search.curve[step.layer][step.generation];

  function whatIsBest(search, number, sizes, label) {
    const step = STEPS[number], born = search.born[number], name = where(step.layer);
    const count = total(sizes), loss = lossAt(search, step);
    const worth = `cross-entropy ${digits(loss)}, so “${label}” has a probability of ${percent(loss)}`;
    if (step.generation === 0 && step.layer === 0) {
      return `At ${name}, ${when(step)}, there are ${count} noisy copies of the image; the best has ${worth}.`;
    }
    if (step.generation === 0) {
      const before = `what the best of ${where(step.layer - 1)} becomes here`;
      return `At ${name}, ${when(step)}, all ${count} candidates are ${before}: ${worth}.`;
    }
    const names = { parents: "a parent", explorers: "an explorer", refiners: "a refiner" };
    const since = born === step.generation ? " of this generation" : `, unchanged since generation ${born}`;
    const best = born ? names[kindOf(search.best[number], sizes)] + since : "a first copy, beaten by no child yet";
    return `At ${name}, ${when(step)}, the best is ${best}: ${worth}.`;
  }

  function comparison(shown, number) {
    const step = STEPS[number];
    const each = shown.map(({ search, reading }, i) => {
      const loss = lossAt(search, step);
      return `${digits(loss)} (${percent(loss)}) ${i ? "on the right" : "on the left"}, with ${READINGS[reading]}`;
    });
    return `At ${where(step.layer)}, ${when(step)}, the best has cross-entropy ${each.join("; and ")}.`;
  }

  function mapWords(search, number, rough, image) {
    const step = STEPS[number];
    if (isLogits(step)) return "Probability of each label. Logits are not smoothed.";
    const channel = `Channel ${image.channel} of ${image.channels}`;
    if (search.born[number] === 0) return `${channel}. This is a first copy: it was never smoothed.`;
    const [after, before] = [lossAt(search, step), search.rough[number]].map(digits);
    return rough ? `${channel}, without smoothing: cross-entropy ${before}, with it ${after}.`
      : `${channel}. Cross-entropy ${after}; without smoothing ${before}.`;
  }

  // ---- pictures

  function drawBars(svg, values, image) {
    const { width, height } = box(svg), high = (height - 8) / values.length, names = image.classes;
    const left = 8 + 6.6 * Math.max(...names.map((name) => name.length));
    svg.innerHTML = Array.from(values, (value, k) => {
      const long = Math.max(1, (value / 255) * (width - left - 6)), y = 4 + high * k;
      const kind = names[k] === image.label ? "own" : "other";
      return `<rect class="${kind}" x="${left}" y="${y + 1}" width="${long}" height="${high - 2}"/>` +
        text(left - 4, y + high / 2 + 4, "end", names[k]);
    }).join("");
  }

  /* A scale from cross-entropy to height, of equal steps for equal factors, with its ticks and the line of a guess. */
  function lossAxis(low, high, top, bottom, right, left) {
    const span = Math.log(high / low);
    const y = (loss) => bottom - ((bottom - top) * Math.log(Math.max(loss, low) / low)) / span;
    const tens = [10, 1, 0.1, 0.01, 0.001, 0.0001], threes = [3, 0.3, 0.03, 0.003, 0.0003];
    const inside = (ticks) => ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
    const ticks = inside(tens).length < 3 ? inside([...tens, ...threes]) : inside(tens);
    const lines = ticks.map((tick) =>
      line("grid", left, right, y(tick), y(tick)) + text(left - 5, y(tick) + 4, "end", tick));
    const guess = y(index.guess);
    if (index.guess > high || index.guess < low) return { y, lines: lines.join(""), guess: "" };
    lines.push(line("guess", left, right, guess, guess));
    return { y, lines: lines.join(""), guess: `<g class="above">${text(right - 2, guess - 4, "end", "a guess")}</g>` };
  }

  function drawCloud(svg, search, number, sizes, axes) {
    const { width, height } = box(svg), left = 50, right = width - 8, bottom = height - 34;
    const { distance, low, high } = axes[STEPS[number].layer];
    const { y, lines, guess } = lossAxis(low / 1.2, high * 1.2, 10, bottom, right, left);
    const x = (d) => left + 8 + ((right - left - 16) * d) / distance;
    const ticks = [0, 0.5, 1, 1.5].filter((tick) => tick <= distance);
    const parts = [lines, ...ticks.map((tick) => text(x(tick), bottom + 15, "middle", tick)),
      text(width / 2, height - 3, "middle", `${width < 240 ? "" : "distance "}from the parents’ mean`),
      `<path class="axis" d="M${left},8V${bottom}H${right}"/>`];
    const all = candidates(search, number, sizes);
    for (const kind of KINDS) {
      const these = all.filter((one) => one.kind === kind);
      const path = these.map((one) => SHAPES[kind](x(one.distance), y(one.loss)));
      if (these.length) parts.push(`<path class="${kind}" d="${path.join("")}"/>`);
    }
    const best = all[search.best[number]];
    parts.push(guess, `<circle class="best" cx="${x(best.distance)}" cy="${y(best.loss)}" r="9"/>`);
    svg.innerHTML = parts.join("");
  }

  function drawCurve(svg, search, number, axes) {
    const { width, height } = box(svg), left = 50, right = width - 8, bottom = height - 8, top = 36;
    const low = Math.min(...axes.map((axis) => axis.low)), high = Math.max(...axes.map((axis) => axis.high));
    const { y, lines, guess } = lossAxis(low / 1.2, high * 1.2, top, bottom, right, left);
    const step = STEPS[number], unit = (right - left) / STEPS.length, parts = [];
    const x = (layer, generation) => left + unit * (firstStep(layer) + 0.5 +
      (generation / lastGeneration(layer)) * (index.layers[layer].generations.length - 1));
    index.layers.forEach((layer, l) => {
      const from = left + unit * firstStep(l), wide = unit * layer.generations.length;
      if (l % 2 === 0) parts.push(`<rect class="band" x="${from}" y="4" width="${wide}" height="${bottom - 4}"/>`);
      // Where there is no room for all names, the present one stays.
      const middle = Math.min(from + wide / 2, right - 18);
      if (unit > 11.5 || l === step.layer) parts.push(text(middle, 17, "middle", layer.name));
    });
    parts.push(lines, `<path class="axis" d="M${left},${top}V${bottom}H${right}"/>`);
    index.layers.forEach((_, l) => {
      const points = search.curve[l].map((loss, generation) => `${x(l, generation)},${y(loss)}`);
      parts.push(`<polyline class="curve" points="${points.join(" ")}"/>`);
    });
    const now = x(step.layer, step.generation);
    parts.push(line("now", now, now, top, bottom), guess,
      `<circle class="now" cx="${now}" cy="${y(lossAt(search, step))}" r="5"/>`);
    svg.innerHTML = parts.join("");
  }

  // ---- the page

  const total = (sizes) => String(sizes.parents + sizes.explorers + sizes.refiners);
  const options = (values, words) =>
    values.map((value) => `<option value="${value}">${words(value)}</option>`).join("");
  const PANEL = `
    <section class="explorer-panel">
      <p class="explorer-reading"></p>
      <figure class="explorer-image"><canvas role="img"></canvas><figcaption></figcaption></figure>
      <figure class="explorer-map"><canvas role="img"></canvas><svg role="img" hidden></svg>
        <figcaption></figcaption></figure>
      <figure class="explorer-cloud"><figcaption></figcaption><svg role="img"></svg></figure>
      <figure class="explorer-curve"><figcaption>Cross-entropy of the best, layer by layer</figcaption>
        <svg role="img"></svg></figure>
    </section>`;

  function template(id) {
    const images = index.images.map((image, i) => `
      <label title="${image.seen}"><input type="radio" name="${id}-image" value="${i}"><canvas></canvas>
      <span class="explorer-hidden">${image.seen}</span></label>`).join("");
    const sizes = options(index.populations.map((_, i) => i), (i) => total(index.populations[i]));
    const readings = options(index.readings, (reading) => READINGS[reading] + NOTES[reading]);
    const field = (name, words, inside, kind = "") => `<div class="${kind}"><label for="${id}-${name}">${words}</label>
      <select id="${id}-${name}" name="${name}">${inside}</select></div>`;
    const layers = index.layers.map((layer, l) => `<button type="button" data-layer="${l}"
      style="flex-grow:${layer.generations.length}">${layer.name}</button>`).join("");
    const shapes = KINDS.map((kind) => `<li class="${kind}">
      <svg aria-hidden="true" width="14" height="14" viewBox="0 0 14 14">
        <path class="${kind}" d="${SHAPES[kind](7, 7)}"/></svg> <span></span></li>`).join("");
    return `
      <div class="explorer-choices">
        <fieldset class="explorer-images"><legend>Image</legend>${images}</fieldset>
        ${field("population", "Candidates", sizes)}
        ${field("draws", "Draws", options(index.draws, (seed) => `seed ${seed}`))}
        ${field("reading", "Reading", readings, "explorer-long")}
        ${field("beside", "Beside it", `<option value="">nothing</option>${readings}`, "explorer-long")}
        <fieldset class="explorer-smoothing"><legend>Map of the best</legend>
          <label><input type="radio" name="${id}-rough" value="" checked> after smoothing</label>
          <label><input type="radio" name="${id}-rough" value="rough"> before smoothing</label></fieldset>
      </div>
      <div class="explorer-time">
        <label for="${id}-step">Generation <output for="${id}-step"></output></label>
        <input id="${id}-step" type="range" min="0" max="${STEPS.length - 1}" step="1" value="0">
        <div class="explorer-layers" role="group" aria-label="Go to the start of a layer">${layers}</div>
        <div class="explorer-buttons"><button type="button" data-do="back">Back</button>
          <button type="button" data-do="play">Play</button><button type="button" data-do="next">Next</button></div>
      </div>
      <p class="explorer-status" role="status"></p>
      <ul class="explorer-legend">${shapes}<li class="best">
        <svg aria-hidden="true" width="18" height="18"><circle class="best" cx="9" cy="9" r="7.5"/></svg>
        <span>the best</span></li></ul>
      <div class="explorer-panels">${PANEL}${PANEL}</div>`;
  }

  function explore(root, number) {
    const id = `explorer${number}`;
    root.innerHTML = template(id);
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Step through a search");
    const find = (selector) => root.querySelector(selector);
    const slider = find("input[type=range]"), status = find(".explorer-status"), play = find("[data-do=play]");
    const [image, reading, size, draws] = index.first.split("-");
    find(`input[value="${index.images.findIndex((one) => one.key === image)}"]`).checked = true;
    find("[name=reading]").value = reading;
    find("[name=population]").value = index.populations.findIndex((sizes) => total(sizes) === size);
    find("[name=draws]").value = draws;
    root.querySelectorAll(".explorer-images canvas").forEach((canvas, i) => paintImage(canvas, index.images[i]));
    let timer = null, shown = [], readingBefore = reading, asked = 0;

    function chosen() {
      const beside = find("[name=beside]").value;
      return {
        image: index.images[find(".explorer-images input:checked").value],
        sizes: index.populations[find("[name=population]").value],
        draws: find("[name=draws]").value,
        readings: [find("[name=reading]").value, ...(beside ? [beside] : [])],
        rough: find(".explorer-smoothing input:checked").value !== "",
      };
    }

    /* Load what is chosen, then show it. What was asked for last is shown, whatever is loaded last. */
    async function choose() {
      const { image, sizes, draws, readings } = chosen(), turn = ++asked;
      const keys = readings.map((one) => [image.key, one, total(sizes), draws].join("-"));
      try {
        const loaded = await Promise.all(keys.map(load));
        if (turn !== asked) return;
        shown = loaded.map((search, i) => ({ search, reading: readings[i] }));
        root.dataset.shown = keys.join(" ");
        render();
      } catch {
        if (turn === asked) status.textContent = "This search could not be loaded: its file is missing.";
      }
    }

    function render() {
      if (!shown.length) return;
      const state = { ...chosen(), number: Number(slider.value) }, step = STEPS[state.number];
      root.classList.toggle("explorer-two", shown.length > 1);
      root.querySelectorAll(".explorer-panel").forEach((panel, i) => {
        panel.hidden = i >= shown.length;
        if (!panel.hidden) renderPanel(panel, shown[i], state);
      });
      find("output").textContent = `${ofAll(step)}, ${index.layers[step.layer].name}`;
      slider.setAttribute("aria-valuetext", place(step));
      root.querySelectorAll("[data-layer]").forEach((button, l) =>
        button.setAttribute("aria-current", l === step.layer ? "step" : "false"));
      renderLegend(state.sizes, step);
      status.textContent = shown.length > 1 ? comparison(shown, state.number)
        : whatIsBest(shown[0].search, state.number, state.sizes, state.image.label);
    }

    function renderLegend(sizes, step) {
      const start = step.generation === 0;
      const words = { copies: `${total(sizes)} first candidates` };
      for (const kind of ["explorers", "refiners", "parents"]) words[kind] = `${sizes[kind]} ${kind}`;
      for (const kind of KINDS) {
        find(`.explorer-legend .${kind}`).hidden = (kind === "copies") !== start;
        find(`.explorer-legend li.${kind} span`).textContent = words[kind];
      }
    }

    function renderPanel(panel, { search, reading }, { image, sizes, rough, number }) {
      const part = (selector) => panel.querySelector(selector);
      const step = STEPS[number], logits = isLogits(step), values = mapBytes(search, number, rough);
      part(".explorer-reading").textContent = READINGS[reading] + NOTES[reading];
      paintImage(part(".explorer-image canvas"), image);
      part(".explorer-image canvas").setAttribute("aria-label", image.seen);
      part(".explorer-image figcaption").textContent = `The image: a ${image.seen}.`;
      const [canvas, bars] = [part(".explorer-map canvas"), part(".explorer-map svg")];
      canvas.hidden = logits;
      bars.toggleAttribute("hidden", !logits);
      if (logits) drawBars(bars, values, image);
      else paint(canvas, values, index.sides[step.layer], blueToRed);
      canvas.setAttribute("aria-label",
        `A map of the best candidate ${rough ? "before" : "after"} smoothing, ${place(step)}`);
      bars.setAttribute("aria-label", `Probability of each of ten labels, ${place(step)}`);
      part(".explorer-map figcaption").textContent = mapWords(search, number, rough, image);
      const children = sizes.explorers + sizes.refiners, kept = `${search.kept[number]} of ${children} children`;
      part(".explorer-cloud figcaption").textContent = "Cross-entropy of the candidates: lower is better." +
        (step.generation ? ` Fit enough to be parents: ${kept}.` : "");
      drawCloud(part(".explorer-cloud svg"), search, number, sizes, image.axes);
      part(".explorer-cloud svg").setAttribute("aria-label",
        `${total(sizes)} candidates by distance from the parents’ mean and cross-entropy, ${place(step)}`);
      drawCurve(part(".explorer-curve svg"), search, number, image.axes);
      part(".explorer-curve svg").setAttribute("aria-label",
        `Cross-entropy of the best against generation; now ${digits(lossAt(search, step))} at ${place(step)}`);
    }

    const go = (step) => { slider.value = step; render(); };

    const atEnd = () => Number(slider.value) === STEPS.length - 1;

    function playing(on) {
      clearInterval(timer);
      timer = on ? setInterval(() => (atEnd() ? playing(false) : go(Number(slider.value) + 1)), 800) : null;
      if (on && atEnd()) go(0);
      play.textContent = on ? "Pause" : "Play";
      // A screen reader is not to read every step while it plays.
      status.setAttribute("aria-live", on ? "off" : "polite");
      if (!on) render();
    }

    const by = (steps) => { playing(false); go(Number(slider.value) + steps); };
    root.addEventListener("click", ({ target }) => {
      if (target.dataset.layer) { playing(false); go(firstStep(Number(target.dataset.layer))); }
      if (target.dataset.do === "play") playing(timer === null);
      if (target.dataset.do === "back") by(-1);
      if (target.dataset.do === "next") by(1);
    });
    root.addEventListener("keydown", (event) => {
      // Where the arrows have a meaning of their own, they keep it.
      const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!steps || event.target.matches("select, input")) return;
      event.preventDefault();
      event.stopPropagation();
      by(steps);
    });
    slider.addEventListener("input", () => { playing(false); });
    root.addEventListener("change", ({ target }) => {
      if (target === slider) return;
      // The same reading twice would show nothing: the other one takes what this one leaves.
      const [one, two] = [find("[name=reading]"), find("[name=beside]")];
      if (one.value === two.value) {
        if (target === one) two.value = readingBefore;
        else one.value = index.readings.find((other) => other !== two.value);
      }
      readingBefore = one.value;
      choose();
    });
    new ResizeObserver(render).observe(root);
    choose();
  }

  document.querySelectorAll(".explorer").forEach(explore);
})();
