/* What the explorers draw with: maps and images on a canvas, marks and words in an SVG. */
(function () {
  "use strict";

  const BLUE_TO_RED = ["#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7", "#fddbc7", "#f4a582",
    "#d6604d", "#b2182b", "#67001f"].map((colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)));

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  function paint(canvas, values, side, colour) {
    canvas.width = side;
    canvas.height = Math.round(values.length / side);
    const context = canvas.getContext("2d"), picture = context.createImageData(canvas.width, canvas.height);
    values.forEach((value, i) => picture.data.set([...colour(value), 255], 4 * i));
    context.putImageData(picture, 0, 0);
  }

  function blueToRed(byte) {
    const place = (byte / 255) * (BLUE_TO_RED.length - 1), i = Math.min(Math.floor(place), BLUE_TO_RED.length - 2);
    return BLUE_TO_RED[i].map((from, c) => Math.round(from + (place - i) * (BLUE_TO_RED[i + 1][c] - from)));
  }

  function paintImage(canvas, image) {
    const pixels = bytes(image.pixels), colours = pixels.length / image.side ** 2;
    const grouped = Array.from({ length: image.side ** 2 }, (_, i) => pixels.subarray(colours * i, colours * (i + 1)));
    paint(canvas, grouped, image.side, (pixel) => [0, 1, 2].map((c) => pixel[Math.min(c, colours - 1)]));
  }

  const text = (x, y, anchor, words) => `<text x="${x}" y="${y}" text-anchor="${anchor}">${words}</text>`;
  const line = (kind, x1, x2, y1, y2) => `<line class="${kind}" x1="${x1}" x2="${x2}" y1="${y1}" y2="${y2}"/>`;

  function box(svg) {
    const { width, height } = svg.getBoundingClientRect();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    return { width, height };
  }

  window.repsearchPaint = { blueToRed, box, bytes, line, paint, paintImage, text };
})();
