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
