// A study's page while it runs: asks for rows that came since the last ones and puts them behind the lines that are drawn.
"use strict";
(() => {
  const live = JSON.parse(document.getElementById("live-data").textContent);
  const { page, drawTraining } = window.vslm;
  const QUICK_MS = 1000, SLOW_MS = 10000;
  const UNTOUCHED_MS = 15000; // after so long without a hand on it, the page shows new results by itself
  const MOST_POINTS = 800; // of a line; beyond, every second point but the last goes
  const VIEWS = { train_loss: "train_loss", val_loss: "val_loss" };
  const AXES = { steps: "step", tokens: "tokens", flops: "flops", seconds: "seconds" };
  const strip = document.getElementById("strip");
  const reload = document.getElementById("strip-reload");
  let { since, results } = live;
  let touched = 0;
  let waitMs = QUICK_MS;

  for (const kind of ["pointerdown", "keydown", "wheel", "touchmove", "input"]) {
    document.addEventListener(kind, () => { touched = performance.now(); }, { passive: true });
  }
  reload.addEventListener("click", () => location.reload());

  function line(arm, seed, view) {
    const found = page.training.data.find(({ meta }) => meta.part === "seed" && meta.arm === arm && meta.seed === seed && meta.view === view);
    if (found) return found;
    const trace = {
      type: "scatter", mode: "lines", y: [], line: { width: 1, dash: "dot" },
      meta: { arm, view, seed, part: "seed", axes: Object.fromEntries(Object.keys(AXES).map((axis) => [axis, []])) },
    };
    page.training.data.push(trace);
    return inFront(trace);
  }
  // A run that is going on has no mean line yet, so its own is what there is to see: in its arm's color, with its numbers.
  function inFront(trace) {
    const { arm, seed } = trace.meta;
    trace.line = { ...trace.line, color: `@arm${live.colors[arm] ?? 0}`, width: 1.8 };
    trace.name = `${page.labels[arm] ?? ""}, seed ${seed}`;
    trace.hovertemplate = "%{y:.4f}";
    delete trace.hoverinfo;
    return trace;
  }
  function thin(trace) {
    const last = trace.y.length - 1;
    const keep = (_, i) => i % 2 === 0 || i === last;
    trace.y = trace.y.filter(keep);
    for (const axis of Object.keys(AXES)) trace.meta.axes[axis] = trace.meta.axes[axis].filter(keep);
  }
  function append({ arm, seed, rows }) {
    const at = Object.fromEntries(live.fields.map((name, i) => [name, i]));
    for (const [view, field] of Object.entries(VIEWS)) {
      const trace = line(arm, seed, view);
      for (const row of rows) {
        if (row[at[field]] === null) continue;
        trace.y.push(row[at[field]]);
        for (const [axis, name] of Object.entries(AXES)) trace.meta.axes[axis].push(row[at[name]]);
      }
      if (trace.y.length > MOST_POINTS) thin(trace);
    }
  }
  function show({ words, share, state }) {
    strip.dataset.state = state;
    const place = document.getElementById("strip-words");
    if (place.textContent !== words) place.textContent = words;
    document.getElementById("strip-track").style.width = `${(100 * share).toFixed(1)}%`;
    const title = document.title.replace(/^\d+ % · /, "");
    document.title = state === "running" ? `${Math.round(100 * share)} % · ${title}` : title;
  }
  // A page that somebody reads is not pulled from under the reader: then a button says that there is more.
  function newResults() {
    const isRead = performance.now() - touched < UNTOUCHED_MS && touched > 0;
    const hasTyped = Boolean(document.getElementById("typed-text")?.value);
    if (isRead || hasTyped) reload.hidden = false;
    else location.reload();
  }

  async function ask() {
    const answer = await fetch(`${live.rows}?since=${encodeURIComponent(since)}`);
    if (!answer.ok) throw new Error(String(answer.status));
    const found = await answer.json();
    show(found.progress);
    since = found.since;
    if (found.rows.length && page.training) {
      found.rows.forEach(append);
      drawTraining();
    }
    const isNew = found.reload || found.results !== results || (found.rows.length > 0 && !page.training);
    results = found.results;
    if (isNew || !reload.hidden) newResults();
    waitMs = found.rows.length || found.progress.state === "running" ? QUICK_MS : Math.min(SLOW_MS, waitMs * 1.5);
  }
  async function poll() {
    if (!document.hidden) {
      const lost = document.getElementById("strip-lost");
      try {
        await ask();
        lost.hidden = true;
      } catch {
        lost.hidden = false;
        waitMs = Math.min(SLOW_MS, waitMs * 1.5);
      }
    }
    setTimeout(poll, waitMs);
  }
  const unfinished = (page.training?.data ?? []).filter(({ meta, line: its }) => meta.part === "seed" && its.dash === "dot");
  if (unfinished.length) {
    unfinished.forEach(inFront);
    drawTraining();
  }
  show(live.progress);
  setTimeout(poll, QUICK_MS);
})();
