/* Step through the rounds of the loop. Fills every <div class="rounds"> of the page.

   explorer/paint.js and data.js come before this script; book/rounds.py makes the data. A block has, of five images, one
   channel of what the untrained network says, and then of each round the targets and what was learned. */
(function () {
  "use strict";

  const { images, blocks, test, sgd, share } = window.repsearchRounds;
  const { blueToRed, box, bytes, line, paint, paintImage, text } = window.repsearchPaint;

  /* The steps of the slider: before the loop, then each round searched and learned. */
  const STEPS = [{ round: -1, learned: true },
    ...test.flatMap((_, round) => [{ round, learned: false }, { round, learned: true }])];
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const percent = (value) => `${value.toFixed(1)}\u00a0%`;

  function title({ round, learned }) {
    if (round < 0) return "before the first search";
    return `round ${round}, ${learned ? "learned" : "searched"}`;
  }

  function sentence({ round, learned }, block) {
    if (round < 0) {
      return `The network was never trained. The lower row is what its block ${block} says of five training images; nothing ` +
        "has been searched yet.";
    }
    const about = percent(share[round][block]);
    if (!learned) {
      const before = round ? `, ${percent(share[round - 1][block])} in the round before` : "";
      return `Search has found a target for each image. Of all targets’ variance at block ${block}, ${about} lies between ` +
        `classes${before}. The network has not learned from them yet.`;
    }
    const reached = mean(blocks[block].agreement[round]).toFixed(2);
    return `The network has learned. What block ${block} says correlates with these targets by ${reached} on average; test ` +
      `accuracy is ${percent(test[round])}, that of SGD ${percent(sgd)}.`;
  }

  /* The bytes of one image's map: what the network says, or its target, at a step. */
  function mapOf(block, step, image, target) {
    const { maps, side } = blocks[block], last = 2 * (step.round + 1);
    const stage = target ? last - 1 : step.learned ? last : last - 2;
    return bytes(maps[stage]).subarray(image * side ** 2, (image + 1) * side ** 2);
  }

  function drawAccuracy(svg, step) {
    const { width, height } = box(svg), left = 40, right = width - 12, bottom = height - 24, top = 14;
    const low = 10 * Math.floor(Math.min(...test) / 10), high = 10 * Math.ceil(Math.max(...test, sgd) / 10);
    const y = (value) => bottom - ((bottom - top) * (value - low)) / (high - low);
    const x = (round) => left + ((right - left) * (round + 0.5)) / test.length;
    const ticks = Array.from({ length: (high - low) / 5 + 1 }, (_, i) => low + 5 * i);
    const parts = ticks.map((tick) =>
      line("grid", left, right, y(tick), y(tick)) + text(left - 5, y(tick) + 4, "end", tick));
    parts.push(...test.map((_, round) => text(x(round), height - 6, "middle", `round ${round}`)));
    parts.push(line("guess", left, right, y(sgd), y(sgd)),
      `<g class="above">${text(left + 4, y(sgd) - 5, "start", "SGD")}</g>`,
      `<path class="axis" d="M${left},${top}V${bottom}H${right}"/>`);
    const done = test.slice(0, step.round + (step.learned ? 1 : 0));
    parts.push(`<polyline class="curve" points="${done.map((value, round) => `${x(round)},${y(value)}`).join(" ")}"/>`);
    done.forEach((value, round) => {
      const now = round === step.round ? "now" : "done";
      parts.push(`<circle class="${now}" cx="${x(round)}" cy="${y(value)}" r="5"/>`);
    });
    svg.innerHTML = parts.join("");
    svg.setAttribute("aria-label", `Test accuracy after each round: ${done.map(percent).join(", ") || "none yet"}; of SGD ` +
      percent(sgd));
  }

  const CELLS = '<canvas role="img"></canvas>'.repeat(images.length);
  const row = (name, words) => `<div class="rounds-row rounds-${name}"><span>${words}</span>${CELLS}</div>`;

  function template(id) {
    return `
      <div class="rounds-choices"><label for="${id}-block">What is shown</label>
        <select id="${id}-block" name="block">${blocks.map((_, b) => `<option value="${b}">block ${b}</option>`).join("")}
        </select></div>
      <div class="explorer-time">
        <label for="${id}-step">Step <output for="${id}-step"></output></label>
        <input id="${id}-step" type="range" min="0" max="${STEPS.length - 1}" value="0">
        <div class="explorer-buttons"><button type="button" data-do="back">Back</button>
          <button type="button" data-do="next">Next</button></div>
      </div>
      <p class="explorer-status" role="status"></p>
      <div class="rounds-panel">
        ${row("images", "image")}${row("targets", "target")}${row("says", "the network says")}
        <div class="rounds-row rounds-agreement"><span>correlation</span>${"<b></b>".repeat(images.length)}</div>
      </div>
      <figure class="rounds-accuracy"><figcaption>Test accuracy, %</figcaption><svg role="img"></svg></figure>`;
  }

  function fill(root, number) {
    root.innerHTML = template(`rounds${number}`);
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Step through the rounds of the loop");
    const find = (selector) => root.querySelector(selector), all = (selector) => [...root.querySelectorAll(selector)];
    const slider = find("input[type=range]"), choice = find("select");
    all(".rounds-images canvas").forEach((canvas, i) => {
      paintImage(canvas, images[i]);
      canvas.setAttribute("aria-label", `A photograph of: ${images[i].label}`);
    });

    function render() {
      const step = STEPS[slider.value], block = Number(choice.value), { side, agreement } = blocks[block];
      const searched = step.round >= 0;
      all(".rounds-targets canvas").forEach((canvas, i) => {
        canvas.classList.toggle("rounds-none", !searched);
        if (searched) paint(canvas, mapOf(block, step, i, true), side, blueToRed);
        canvas.setAttribute("aria-label", searched ? `Target of block ${block}: ${images[i].label}` : "no target yet");
      });
      all(".rounds-says canvas").forEach((canvas, i) => {
        paint(canvas, mapOf(block, step, i, false), side, blueToRed);
        canvas.setAttribute("aria-label", `What block ${block} says: ${images[i].label}`);
      });
      all(".rounds-agreement b").forEach((cell, i) => {
        cell.textContent = searched && step.learned ? agreement[step.round][i].toFixed(2) : "–";
      });
      find("output").textContent = title(step);
      slider.setAttribute("aria-valuetext", title(step));
      find(".explorer-status").textContent = sentence(step, block);
      drawAccuracy(find("svg"), step);
    }

    const by = (steps) => { slider.value = Number(slider.value) + steps; render(); };
    root.addEventListener("click", ({ target }) => {
      if (target.dataset.do) by(target.dataset.do === "next" ? 1 : -1);
    });
    root.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!steps || event.target.matches("select, input")) return; // they have arrows of their own
      event.preventDefault();
      event.stopPropagation(); // the page would turn
      by(steps);
    });
    root.addEventListener("input", render);
    new ResizeObserver(render).observe(root);
  }

  document.querySelectorAll(".rounds").forEach(fill);
})();
