// A text that the visitor typed, as the stored weights see it: one element per token, never markup.
"use strict";
(() => {
  const form = document.getElementById("typed-form");
  if (!form) return;
  const live = JSON.parse(document.getElementById("live-data").textContent);
  const [area, go, words, out] = ["typed-text", "typed-go", "typed-words", "typed-out"].map((id) => document.getElementById(id));
  const [first, second] = [document.getElementById("typed-a"), document.getElementById("typed-b")];
  const MOST_NATS = 8; // loss from which on a token is as dark as it gets
  const MOST_DIFFERENCE = 3;
  let found = null;

  const make = (tag, text = "", name = "") => Object.assign(document.createElement(tag), { textContent: text, className: name });
  const say = (text) => { words.textContent = text; words.hidden = !text; };
  const nats = (value) => (value === null ? "none" : value.toFixed(3));
  const percent = (p) => (p === null ? "none" : p >= 0.001 ? `${(100 * p).toFixed(p >= 0.1 ? 1 : 2)} %` : p.toExponential(1));
  const visible = (text) => text.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥");

  function tone(name, share) {
    return share > 0.01 ? `color-mix(in srgb, var(--${name}) ${Math.round(72 * Math.min(1, share))}%, transparent)` : "transparent";
  }
  // Two runs of one tokenizer are compared token by token; others cut the text elsewhere, and are shown one by one.
  const areAlike = ([a, b]) => b && a.tokens.length === b.tokens.length && a.tokens.every((token, i) => token.to === b.tokens[i].to);

  function tokens(run, other) {
    const place = make("div", "", "typed-tokens");
    Object.assign(place, { tabIndex: 0, ariaLabel: `The text, token by token, read by ${run.run}` });
    place.setAttribute("role", "listbox");
    run.tokens.forEach((token, i) => {
      const span = make("span");
      span.append(token.text.replaceAll("\n", ""));
      if (token.text.includes("\n")) span.append(make("span", "↵", "mark"), token.text.replace(/[^\n]/g, ""));
      span.setAttribute("role", "option");
      span.dataset.i = i;
      const loss = token.loss_nats;
      if (other) {
        const difference = loss === null ? 0 : loss - other.tokens[i].loss_nats;
        span.style.background = tone(difference < 0 ? "cold" : "warm", Math.abs(difference) / MOST_DIFFERENCE);
      } else if (loss !== null) {
        span.style.background = tone("warm", loss / MOST_NATS);
      }
      place.append(span);
    });
    return place;
  }
  function detail(run, i) {
    const token = run.tokens[i];
    const box = make("div");
    box.append(make("h3", `${run.run}, step ${run.step.toLocaleString("en-US")}`));
    if (token.loss_nats === null) {
      box.append(make("p", "Nothing stands before this token, so the model says nothing of it."));
      return box;
    }
    box.append(make("div", `“${visible(token.text)}”: loss ${nats(token.loss_nats)} nats, probability ${percent(token.p)}, rank ${token.rank.toLocaleString("en-US")}`));
    const list = make("ol");
    for (const { text, p } of token.top) {
      const row = make("li", "", text === token.text ? "here" : "");
      const bar = make("i");
      bar.style.width = `${Math.max(1, 100 * p)}%`;
      row.append(make("code", visible(text)), bar, make("span", percent(p)));
      list.append(row);
    }
    box.append(list);
    return box;
  }
  function scale(isDifference, run, other) {
    const place = make("p", "", "typed-scale");
    const bar = make("i");
    bar.style.background = isDifference
      ? `linear-gradient(to right, ${tone("cold", 1)}, transparent, ${tone("warm", 1)})`
      : `linear-gradient(to right, transparent, ${tone("warm", 1)})`;
    const [low, high] = isDifference ? [`${run.run} knew better`, `${other.run} knew better`] : ["expected", `${MOST_NATS} nats or more`];
    place.append(low, bar, high);
    return place;
  }

  function show() {
    const { runs } = found;
    const alike = areAlike(runs);
    out.replaceChildren();
    const panels = alike ? [[runs[0], runs[1]]] : runs.map((run) => [run, null]);
    for (const [run, other] of panels) {
      const mean = (one) => {
        const known = one.tokens.filter(({ loss_nats: loss }) => loss !== null);
        return known.length ? known.reduce((sum, { loss_nats: loss }) => sum + loss, 0) / known.length : null;
      };
      const caption = [run, ...(other ? [other] : [])].map((one) => `${one.run}: mean ${nats(mean(one))} nats over ${one.tokens.length.toLocaleString("en-US")} tokens`);
      const place = tokens(run, other);
      const below = make("div", "", "typed-detail");
      below.setAttribute("aria-live", "polite");
      out.append(make("p", caption.join(" · "), "small"), scale(Boolean(other), run, other), place, below);
      const choose = (i, scroll) => {
        place.querySelector('[aria-selected="true"]')?.removeAttribute("aria-selected");
        const span = place.querySelector(`[data-i="${i}"]`);
        span.setAttribute("aria-selected", "true");
        place.dataset.chosen = i;
        if (scroll) span.scrollIntoView({ block: "nearest" });
        below.replaceChildren(detail(run, i), ...(other ? [detail(other, i)] : []));
      };
      const under = (event) => event.target.closest("[data-i]");
      place.addEventListener("pointerover", (event) => { if (under(event)) choose(Number(under(event).dataset.i), false); });
      place.addEventListener("click", (event) => { if (under(event)) choose(Number(under(event).dataset.i), false); });
      place.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        const to = event.key === "Home" ? 0 : event.key === "End" ? run.tokens.length - 1 : Number(place.dataset.chosen) + (step ?? 0);
        if (!step && !["Home", "End"].includes(event.key)) return;
        event.preventDefault();
        choose(Math.max(0, Math.min(run.tokens.length - 1, to)), true);
      });
      choose(0, false);
    }
    out.hidden = false;
    const remarks = [...new Set(runs.map(({ remark }) => remark).filter(Boolean))];
    if (runs.length > 1 && !alike) remarks.push("The two cut the text into other tokens, so they stand one below the other.");
    say(remarks.join(". "));
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    say("Reading …");
    try {
      const runs = [...new Set([first.value, second.value].filter(Boolean))];
      const answer = await fetch(live.tokens, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ text: area.value, runs }),
      });
      const got = await answer.json();
      if (!answer.ok) {
        say(got.error);
        return;
      }
      found = got;
      say("");
      show();
    } catch {
      say("The server does not answer.");
    } finally {
      go.disabled = false;
    }
  });
  area.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(); });
})();
