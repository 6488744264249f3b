// The list of studies: search and filter here, and ask the server which cards changed; only those are sent.
"use strict";
(() => {
  const EVERY_MS = 2000;
  const shelf = document.getElementById("shelf");
  const search = document.getElementById("search");
  const count = document.getElementById("count");
  let kind = "";

  const cards = () => [...shelf.children];
  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards()) {
      const { search: text, kinds } = card.dataset;
      card.hidden = !(words.every((word) => text.includes(word)) && (!kind || kinds.split(" ").includes(kind)));
      shown += !card.hidden;
    }
    const total = cards().length;
    const running = cards().filter((card) => card.dataset.kinds.split(" ").includes("running")).length;
    document.getElementById("none").hidden = shown > 0 || total === 0;
    document.getElementById("first").hidden = total > 0;
    search.closest(".finder").hidden = total === 0;
    const text = total === 0 ? "No studies here yet" : shown < total ? `${shown} of ${total} studies` :
      `${total} ${total === 1 ? "study" : "studies"}${running ? `, ${running} running` : ""}`;
    if (count.textContent !== text) count.textContent = text;
  }
  search.addEventListener("input", filter);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-kind]");
    if (!button) return;
    kind = button.dataset.kind;
    for (const one of document.querySelectorAll("[data-kind]")) one.setAttribute("aria-pressed", String(one === button));
    filter();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      search.focus();
    }
  });

  async function changed() {
    const { studies } = await (await fetch("/api/studies")).json();
    const there = new Map(cards().map((card) => [card.dataset.name, card]));
    const wanted = [];
    for (const [name, tag] of studies) {
      let card = there.get(name);
      if (!card || card.dataset.tag !== tag) {
        const answer = await fetch(`/api/card/${name.split("/").map(encodeURIComponent).join("/")}`);
        if (!answer.ok) continue;
        // The server escaped what others wrote, and its policy lets no script in markup run.
        const box = document.createElement("template");
        box.innerHTML = await answer.text();
        const fresh = box.content.querySelector("article");
        const hadFocus = card?.contains(document.activeElement);
        if (card) card.replaceWith(fresh);
        card = fresh;
        if (hadFocus) card.querySelector("a").focus();
      }
      wanted.push(card);
    }
    for (const card of cards()) if (!wanted.includes(card)) card.remove();
    wanted.forEach((card, i) => { if (shelf.children[i] !== card) shelf.insertBefore(card, shelf.children[i] ?? null); });
    filter();
  }
  async function poll() {
    if (!document.hidden) {
      try { await changed(); } catch { /* the server is gone for now: what is here stays */ }
    }
    setTimeout(poll, EVERY_MS);
  }
  filter();
  setTimeout(poll, EVERY_MS);
})();
