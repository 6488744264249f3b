// A text that the visitor typed: sent to the server, and drawn by the token view with what the stored weights say of it.
"use strict";
(() => {
  const form = document.getElementById("typed-form");
  if (!form) return;
  const live = JSON.parse(document.getElementById("live-data").textContent);
  const [area, go, words, place, seeds] = ["text", "go", "words", "view", "seed"].map((name) => document.getElementById(`typed-${name}`));
  const buttons = [...form.querySelectorAll("[data-reader]")];
  let view = null;

  const say = (text) => {
    words.textContent = text;
    words.hidden = !text;
  };
  const seed = () => (seeds ? seeds.value : Object.keys(live.readers)[0]);
  // Arms that can read with this seed, and of those the ones that are pressed.
  function readers() {
    const able = live.readers[seed()];
    const pressed = buttons.filter((button) => button.getAttribute("aria-pressed") === "true").map(({ dataset }) => dataset.reader);
    return buttons.length ? pressed.filter((arm) => able.includes(arm)) : able;
  }
  function settle() {
    for (const button of buttons) button.disabled = !live.readers[seed()].includes(button.dataset.reader);
    go.disabled = readers().length === 0;
  }
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-reader]");
    if (!button) return;
    const isPressed = button.getAttribute("aria-pressed") === "true";
    if (!isPressed && readers().length >= live.most_readers) {
      say(`${live.most_readers} arms read at once; let one of them go first.`);
      return;
    }
    say("");
    button.setAttribute("aria-pressed", String(!isPressed));
    settle();
  });
  seeds?.addEventListener("change", settle);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    say("Reading …");
    try {
      const runs = readers().map((arm) => `${arm}/seed${seed()}`);
      const answer = await fetch(live.tokens, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ text: area.value, runs }),
      });
      const found = await answer.json();
      say(answer.ok ? found.problems.join(" ") : found.error);
      if (answer.ok) {
        place.hidden = false;
        if (view) view.show(found);
        else view = window.vslmTokenView(place, found);
      }
    } catch {
      say("The server does not answer.");
    } finally {
      settle();
    }
  });
  area.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(); });
  settle();
})();
