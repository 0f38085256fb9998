// Runs before anything is painted, so that nobody who chose the dark is dazzled first.
(function () {
  let wish = null;
  try {
    wish = localStorage.getItem("playhouse.theme");
  } catch {
    // Where nothing may be stored the system decides.
  }
  if (wish === "light" || wish === "dark") document.documentElement.dataset.theme = wish;
})();
