/* Copying a cell is safe where the set-up is all it needs; the button says so. */
document.addEventListener("DOMContentLoaded", () => setTimeout(() => {
  for (const button of document.querySelectorAll(".tag_copyable > .cell_input button.copybtn")) {
    button.dataset.tooltip = "Copy: runs after the set-up alone";
  }
}));

/* Paper is white: print a dark page as a light one. */
(function () {
  "use strict";
  const root = document.documentElement;
  let before = null;
  matchMedia("print").addEventListener("change", ({ matches }) => {
    if (matches) before = root.dataset.theme;
    if (matches || before) root.dataset.theme = matches ? "light" : before;
  });
})();
