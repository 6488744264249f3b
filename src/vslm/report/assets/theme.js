// Light or dark: as the system has it, or as the reader chose last. Who draws in colors listens to "vslm-theme".
"use strict";
(() => {
  const root = document.documentElement;
  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => { try { return localStorage.getItem("vslm-theme"); } catch { return null; } };
  const remember = (theme) => { try { localStorage.setItem("vslm-theme", theme); } catch { /* private mode */ } };
  const system = () => (systemDark.matches ? "dark" : "light");
  function setTheme(theme) {
    root.dataset.theme = theme;
    document.querySelector("#theme .theme-name").textContent = theme === "dark" ? "light" : "dark";
    document.dispatchEvent(new Event("vslm-theme"));
  }
  setTheme(remembered() || system());
  document.getElementById("theme").addEventListener("click", () => {
    setTheme(root.dataset.theme === "dark" ? "light" : "dark");
    remember(root.dataset.theme);
  });
  systemDark.addEventListener("change", () => { if (!remembered()) setTheme(system()); });
  let beforePrint;
  window.addEventListener("beforeprint", () => { beforePrint = root.dataset.theme; setTheme("light"); });
  window.addEventListener("afterprint", () => setTheme(beforePrint));
})();
