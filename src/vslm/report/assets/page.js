// The report's script: draws the figures it was given, and follows the reader's choices. It computes no statistics.
"use strict";
(() => {
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const root = document.documentElement;
  const phone = window.matchMedia("(max-width: 560px)");
  const touch = window.matchMedia("(pointer: coarse)");
  const arms = page.arms;
  const hidden = new Set();
  const surface = page.surface.val ? page.surface : null;

  const state = {
    view: "val_loss", axis: "steps", scale: "linear", final_view: "loss", position_scale: "log",
    heat_view: surface && Object.keys(surface.val.difference).length ? "difference" : "loss",
    heat_arm: null, heat_split: "val", step: 0, bin: 0,
  };

  // ---- colors: "@name" stands for a color of page.css, "-band" and "-thin" for a paler one, ">other:0.2" for a mixture
  const NAMES_A_COLOR = /color(scale)?$/i;
  let inks;
  const parts = (value) => [1, 3, 5].map((i) => parseInt(value.slice(i, i + 2), 16));
  function color(name) {
    if (name === "@none") return "rgba(0,0,0,0)";
    const [, base, pale, other, share] = /^@([a-z0-9]+)(?:-(band|thin)|>([a-z0-9]+):([\d.]+))?$/.exec(name);
    const ink = (wanted) => inks.getPropertyValue(`--${wanted}`).trim();
    if (other) {
      const [from, to] = [base, other].map((wanted) => parts(ink(wanted)));
      return `rgb(${from.map((value, i) => Math.round(value + share * (to[i] - value))).join(",")})`;
    }
    return pale ? `rgba(${parts(ink(base)).join(",")},${ink(`opacity-${pale}`)})` : ink(base);
  }
  // A copy of a figure with its colors filled in. Only values under a key that names a color are looked at.
  function painted(value, key = "") {
    if (typeof value === "string") return NAMES_A_COLOR.test(key) && value.startsWith("@") ? color(value) : value;
    if (Array.isArray(value)) {
      return NAMES_A_COLOR.test(key) || (value.length && typeof value[0] === "object") ? value.map((v) => painted(v, key)) : value;
    }
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, painted(v, k)]));
  }

  const config = () => ({
    displaylogo: false, responsive: true, scrollZoom: false, doubleClick: "reset",
    displayModeBar: touch.matches ? false : "hover",
    // These two and no others: plotly.js has a button of its own that uploads the figure, and asks nobody.
    modeBarButtons: [["toImage", "resetScale2d"]], plotlyServerURL: "",
  });
  function draw(id, data, layout) {
    const place = document.getElementById(id);
    if (!place) return null;
    const ready = painted(layout);
    // A finger on a figure scrolls the page; zooming by dragging is for a mouse.
    if (touch.matches) Object.assign(ready, { dragmode: false });
    // Names beside the rows of a figure need their space on a phone too.
    if (phone.matches) ready.margin = { ...ready.margin, l: ready.margin.l > 100 ? ready.margin.l : 46, r: 8 };
    Plotly.react(place, painted(data), ready, config());
    return place;
  }
  const label = (text) => ({
    text, xref: "paper", yref: "paper", x: 0, y: 1, xanchor: "left", yanchor: "bottom", xshift: phone.matches ? -36 : -46,
    yshift: 5, showarrow: false, font: { color: "@muted", size: 12 },
  });
  const isShown = (trace) => !hidden.has(trace.meta.arm);

  // A logarithmic axis has no zero, and a band with a point missing would fold: drop such points of a line.
  function positiveOnly(trace) {
    const keep = trace.x.map((x) => x > 0);
    const cut = (list) => (Array.isArray(list) ? list.filter((_, i) => keep[i]) : list);
    return { ...trace, x: cut(trace.x), y: cut(trace.y), customdata: cut(trace.customdata) };
  }

  // ---- loss over training --------------------------------------------------------------------------------------------
  const AXIS = {
    steps: { name: "training step", unifiedhovertitle: { text: "step %{x:,}" }, separatethousands: true, exponentformat: "none" },
    tokens: { name: "training tokens", unifiedhovertitle: { text: "%{x:.3s} tokens" }, exponentformat: "SI" },
    flops: { name: "training FLOPs", unifiedhovertitle: { text: "%{x:.3s}FLOP" }, exponentformat: "SI" },
    seconds: { name: "seconds of training", unifiedhovertitle: { text: "%{x:.0f} s" }, separatethousands: true, exponentformat: "none" },
  };
  const named = (axis, { name, ...rest }) => ({ ...rest, title: { ...axis.title, text: name } });
  function drawTraining() {
    if (!page.training) return;
    const { data, layout } = page.training;
    const isDifference = state.view === "difference";
    let traces = data.filter((trace) => trace.meta.view === state.view && isShown(trace))
      .map((trace) => ({ ...trace, x: trace.meta.axes[state.axis] }));
    if (state.scale === "log") traces = traces.map(positiveOnly);
    const text = isDifference ? "nats per token, arm minus baseline" : "nats per token";
    draw("plot-training", traces, {
      ...layout,
      shapes: isDifference ? layout.shapes : [],
      annotations: [label(text)],
      xaxis: { ...layout.xaxis, ...named(layout.xaxis, AXIS[state.axis]), type: state.scale, ...(state.scale === "log" ? { dtick: 1 } : {}) },
      yaxis: { ...layout.yaxis, ...frame(traces) },
    });
  }
  // The first steps, where every model is near its untrained loss, would press the rest flat. On a linear axis the frame
  // is set by what comes after them; a double click shows all.
  const FIRST_PART = 0.04;
  function frame(traces) {
    if (state.scale === "log" && state.view !== "difference") return { autorange: true };
    const lines = traces.filter((trace) => trace.meta.part !== "band" && trace.x.length);
    const end = Math.max(...lines.map((trace) => trace.x[trace.x.length - 1]));
    const values = lines.flatMap((trace) => trace.y.filter((y, i) => y !== null && trace.x[i] >= FIRST_PART * end));
    if (values.length < 3) return { autorange: true };
    if (state.view === "difference") values.push(0);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const pad = 0.12 * (high - low) || 0.01;
    return { autorange: false, range: [low - pad, high + pad] };
  }

  // ---- loss by position ----------------------------------------------------------------------------------------------
  const positionAxis = (axis) => ({
    ...axis, type: state.position_scale,
    ...(state.position_scale === "log" ? {} : { tickmode: "auto", tickvals: null }),
  });
  function drawByPosition() {
    if (!page.by_position) return;
    const { data, layout } = page.by_position;
    const traces = data.filter((trace) => trace.meta.view === state.final_view && isShown(trace));
    const text = state.final_view === "difference" ? "nats per token, arm minus baseline" : "nats per token";
    const zero = { type: "line", xref: "paper", x0: 0, x1: 1, y0: 0, y1: 0, layer: "below", line: { color: "@faint", width: 1 } };
    draw("plot-by-position", traces, {
      ...layout,
      annotations: [label(text)],
      shapes: state.final_view === "difference" ? [...layout.shapes, zero] : layout.shapes,
      xaxis: positionAxis(layout.xaxis),
    });
  }

  // ---- heat map and its slices ---------------------------------------------------------------------------------------
  const centers = page.edges.slice(1).map((end, p) => (page.edges[p] + 1 + end) / 2);
  const binText = (p) => (page.edges[p + 1] - page.edges[p] === 1 ? `${page.edges[p + 1]}` : `${page.edges[p] + 1} to ${page.edges[p + 1]}`);
  const grids = () => surface[state.heat_split][state.heat_view];
  const grid = () => grids()[state.heat_arm];
  const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
  const number = (value) => value.toLocaleString("en-US");
  const loss = (value) => (value === null ? "missing" : value.toFixed(4).replace("-", "−"));
  const nearest = (list, wanted) =>
    list.reduce((best, value, i) => (Math.abs(Math.log1p(value) - Math.log1p(wanted)) < Math.abs(Math.log1p(list[best]) - Math.log1p(wanted)) ? i : best), 0);

  // The step that is chosen stays chosen when another arm, with other stored steps, comes into view.
  const hasMap = (split, view, name) => Boolean(surface[split] && surface[split][view][name]);
  function chooseMap(name, view, split) {
    const wanted = state.heat_arm ? grid().steps[state.step] : null;
    const views = [view, "difference", "loss"];
    state.heat_arm = name;
    state.heat_split = views.some((other) => hasMap(split, other, name)) ? split : "val";
    state.heat_view = views.find((other) => hasMap(state.heat_split, other, name));
    const { steps } = grid();
    state.step = wanted === null ? steps.length - 1 : nearest(steps, wanted);
  }

  function drawHeat() {
    if (!surface) return;
    const { steps, edges, ticks, mean, half, seeds } = grid();
    const { data: [trace], layout, colors } = page.heat;
    const [low, high] = surface[state.heat_split].limits[state.heat_view] ?? [];
    const text = mean.map((row, s) => row.map((value, p) =>
      `step ${number(steps[s])}, position ${binText(p)}<br><b>${loss(value)}</b>${half && half[s][p] !== null ? ` ± ${loss(half[s][p])}` : ""} (${seeds} seed${seeds === 1 ? "" : "s"})`));
    // A difference whose interval includes zero is covered by grey; its number is still told.
    const isGrey = mean.map((row, s) => row.map((value, p) =>
      state.heat_view === "difference" && half !== null && value !== null && Math.abs(value) <= half[s][p]));
    const covered = (pick) => mean.map((row, s) => row.map((value, p) => (isGrey[s][p] ? pick : value)));
    const cells = { ...trace, y: edges, text };
    const place = draw("plot-heat", [{
      ...cells, z: covered(null), zmin: low, zmax: high, colorscale: colors[state.heat_view],
      colorbar: { ...trace.colorbar, ...(phone.matches ? { thickness: 7, nticks: 4 } : {}) },
    }, {
      ...cells, z: isGrey.map((row) => row.map((grey) => (grey ? 1 : null))), zmin: 0, zmax: 1, showscale: false,
      colorscale: colors.unresolved,
    }], {
      ...layout,
      annotations: [label("training step")],
      shapes: crosshair(),
      xaxis: { ...positionAxis(layout.xaxis), range: positionRange() },
      yaxis: { ...layout.yaxis, ...shortened(ticks), range: [edges[0], edges[edges.length - 1]].map(Math.log10) },
    });
    const known = mean.flat().filter((value) => value !== null).length;
    const share = Math.round(100 * (1 - isGrey.flat().filter(Boolean).length / Math.max(1, known)));
    document.getElementById("heat-resolved").textContent = state.heat_view !== "difference" ? ""
      : half === null ? "(fewer than three seeds: no interval, so no cell is greyed)" : `(${share} % of the cells are resolved)`;
    if (!place.dataset.listens) {
      place.dataset.listens = "yes";
      place.on("plotly_click", (event) => {
        const [s, p] = event.points[0].pointIndex;
        state.step = s;
        state.bin = p;
        moveTo();
      });
    }
  }
  // Steps beside a map have little room.
  const shortened = ({ tickvals, ticktext }) => ({
    tickvals, ticktext: ticktext.map((text, i) => (tickvals[i] < 10000 ? text : short.format(tickvals[i]))),
  });
  function positionRange() {
    const ends = [page.edges[0] + 0.5, page.edges[page.edges.length - 1] + 0.5];
    return state.position_scale === "log" ? ends.map(Math.log10) : ends;
  }
  function crosshair() {
    const [x0, x1] = [page.edges[state.bin] + 0.5, page.edges[state.bin + 1] + 0.5];
    const [y0, y1] = [grid().edges[state.step], grid().edges[state.step + 1]];
    const row = { type: "rect", xref: "paper", x0: 0, x1: 1, y0, y1 };
    const column = { type: "rect", yref: "paper", y0: 0, y1: 1, x0, x1 };
    const cell = { type: "rect", x0, x1, y0, y1 };
    // Each line twice, light under dark, so that it is seen on every color.
    const light = { color: "rgba(255,255,255,0.75)", width: 3 };
    const dark = { color: "#14161a", width: 1 };
    return [
      ...[row, column].flatMap((box) => [{ ...box, line: { ...light, width: 2 } }, { ...box, line: { ...dark, dash: "dot" } }]),
      { ...cell, line: { ...light, width: 5 } }, { ...cell, line: { ...dark, width: 2 } },
    ];
  }

  function sliceTraces(x, pick, drop) {
    return arms.filter((name) => grids()[name] && !hidden.has(name)).flatMap((name) => {
      const its = grids()[name];
      const look = page.looks[name];
      const { values, halves, xs, note } = pick(its, x);
      const keep = values.map((value, i) => value !== null && !(drop && xs[i] <= 0));
      const cut = (list) => list && list.filter((_, i) => keep[i]);
      const [cx, cy, ch] = [cut(xs), cut(values), cut(halves)];
      const traces = [];
      if (ch) {
        traces.push({
          type: "scatter", mode: "lines", fill: "toself", hoverinfo: "skip", meta: { arm: name, part: "band" },
          x: [...cx, ...[...cx].reverse()], y: [...cy.map((v, i) => v + ch[i]), ...cy.map((v, i) => v - ch[i]).reverse()],
          fillcolor: `@arm${look.color}-band`, line: { width: 0, color: `@arm${look.color}-band` },
        });
      }
      traces.push({
        type: "scatter", mode: "lines", x: cx, y: cy, customdata: ch, name: page.labels[name] + note,
        meta: { arm: name, part: "mean" }, line: { color: `@arm${look.color}`, width: 2.2, dash: look.dash },
        hovertemplate: ch ? "%{y:.4f} ± %{customdata:.4f}" : "%{y:.4f}",
      });
      return traces;
    });
  }
  const marker = (x) => ({ type: "line", yref: "paper", y0: 0, y1: 1, x0: x, x1: x, layer: "below", line: { color: "@faint", width: 1, dash: "dot" } });
  const zeroLine = () => (state.heat_view === "difference" ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0, y1: 0, layer: "below", line: { color: "@faint", width: 1 } }] : []);

  function drawSlices() {
    if (!surface) return;
    const { steps } = grid();
    const step = steps[state.step];
    const position = binText(state.bin);
    const what = state.heat_split === "train" ? "nats per training token" : "nats per token";
    const unit = state.heat_view === "difference" ? `${what}, arm minus baseline` : what;
    const along = page.slices;
    const byPosition = sliceTraces(centers, (its, xs) => {
      const s = nearest(its.steps, step);
      const note = its.steps[s] === step ? "" : ` (step ${number(its.steps[s])})`;
      return { xs, values: its.mean[s], halves: its.half && its.half[s], note };
    }, false);
    draw("plot-along-position", byPosition, {
      ...along.along_position.layout,
      annotations: [label(unit)],
      shapes: [...zeroLine(), marker(centers[state.bin])],
      xaxis: positionAxis(along.along_position.layout.xaxis),
    });
    const byTraining = sliceTraces(null, (its) => ({
      xs: its.steps, values: its.mean.map((row) => row[state.bin]), halves: its.half && its.half.map((row) => row[state.bin]), note: "",
    }), true);
    draw("plot-along-training", byTraining, {
      ...along.along_training.layout,
      annotations: [label(unit)],
      shapes: [...zeroLine(), ...(step > 0 ? [marker(step)] : [])],
    });
    document.getElementById("along-position-caption").textContent = `Along the window, at step ${number(step)}`;
    document.getElementById("along-training-caption").textContent = `Along training, at position ${position}`;
    const value = grid().mean[state.step][state.bin];
    const whose = state.heat_view === "difference" ? `${state.heat_arm} minus ${page.baseline}` : state.heat_arm;
    document.getElementById("heat-caption").textContent =
      `${whose}: ${state.heat_view === "difference" && value > 0 ? "+" : ""}${loss(value)} nats at step ${number(step)}, position ${position}`;
    syncSliders();
  }
  function syncSliders() {
    const [s, p] = [document.getElementById("step-slider"), document.getElementById("position-slider")];
    s.max = grid().steps.length - 1;
    p.max = centers.length - 1;
    s.value = state.step;
    p.value = state.bin;
    document.getElementById("step-value").textContent = number(grid().steps[state.step]);
    document.getElementById("position-value").textContent = binText(state.bin);
    s.setAttribute("aria-valuetext", `step ${number(grid().steps[state.step])}`);
    p.setAttribute("aria-valuetext", `position ${binText(state.bin)}`);
  }
  function moveTo() {
    Plotly.relayout("plot-heat", { shapes: painted(crosshair()) });
    drawSlices();
  }

  // ---- seed by seed --------------------------------------------------------------------------------------------------
  function drawPairs() {
    page.pairs.forEach(({ data, layout }, i) => draw(`plot-pair-${i}`, data, { ...layout, annotations: [label(page.pair_unit)] }));
  }

  // ---- maps of attention: what a cell says is put together here ---------------------------------------------------
  function attentionMap(trace) {
    const { tokens, visits, gap } = trace.meta;
    const step = tokens.length + gap;
    const text = trace.z.map((row, y) => row.map((share, x) => {
      if (share === null) return "";
      const [query, key] = [y % step, x % step];
      return `visit ${visits[Math.floor(y / step)]}, head ${Math.floor(x / step)}<br>${query}: ${tokens[query]} looks at ${key}: ${tokens[key]}<br><b>${share.toFixed(3)}</b>`;
    }));
    return { ...trace, text };
  }

  // ---- what else was measured: one figure is drawn like the other -------------------------------------------------
  for (const { id, labels } of page.measured) state[id] = Object.keys(labels)[0];
  function drawMeasured() {
    for (const { id, data, layout, labels } of page.measured) {
      const traces = data.filter((trace) => trace.meta.view === state[id] && (trace.meta.arm === null || isShown(trace)))
        .map((trace) => (trace.meta.part === "maps" ? attentionMap(trace) : trace));
      const shapes = (layout.shapes ?? []).filter(({ view }) => view === undefined || view === state[id]).map(({ view, ...shape }) => shape);
      draw(`plot-${id}`, traces, { ...layout, shapes, annotations: [label(labels[state[id]])] });
    }
  }

  // ---- learning rates ------------------------------------------------------------------------------------------------
  function drawTuning() {
    if (!page.tuning) return;
    const { data, layout } = page.tuning;
    draw("plot-tuning", data.filter(isShown), { ...layout, annotations: [label(page.tuning_unit)] });
  }

  // ---- choices -------------------------------------------------------------------------------------------------------
  const REDRAW = {
    view: [drawTraining], axis: [drawTraining], scale: [drawTraining], final_view: [drawByPosition],
    position_scale: [drawByPosition, drawHeat, drawSlices], heat_view: [drawHeat, drawSlices], heat_arm: [drawHeat, drawSlices],
    heat_split: [drawHeat, drawSlices],
  };
  function showChoices() {
    for (const button of document.querySelectorAll("[data-choice]")) {
      button.setAttribute("aria-pressed", String(state[button.dataset.choice] === button.value));
      if (surface && button.dataset.choice === "heat_view") button.disabled = !hasMap(state.heat_split, button.value, state.heat_arm);
      if (surface && button.dataset.choice === "heat_split") button.disabled = !hasMap(button.value, state.heat_view, state.heat_arm);
    }
    for (const button of document.querySelectorAll("[data-arm]")) {
      button.setAttribute("aria-pressed", String(!hidden.has(arms[Number(button.dataset.arm)])));
    }
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { choice, arm } = button.dataset;
    if (choice === "heat_arm") chooseMap(button.value, state.heat_view, state.heat_split);
    else if (choice === "heat_view") chooseMap(state.heat_arm, button.value, state.heat_split);
    else if (choice === "heat_split") chooseMap(state.heat_arm, state.heat_view, button.value);
    else if (choice) state[choice] = button.value;
    if (choice) (REDRAW[choice] ?? [drawMeasured]).forEach((redraw) => redraw());
    if (arm !== undefined) {
      const name = arms[Number(arm)];
      if (!hidden.delete(name)) hidden.add(name);
      [drawTraining, drawByPosition, drawSlices, drawMeasured, drawTuning].forEach((redraw) => redraw());
    }
    showChoices();
  });
  document.getElementById("step-slider")?.addEventListener("input", (event) => { state.step = Number(event.target.value); moveTo(); });
  document.getElementById("position-slider")?.addEventListener("input", (event) => { state.bin = Number(event.target.value); moveTo(); });
  document.addEventListener("vslm-theme", () => drawAll());
  phone.addEventListener("change", () => drawAll());

  function drawAll() {
    inks = getComputedStyle(root);
    [drawTraining, drawByPosition, drawHeat, drawSlices, drawMeasured, drawPairs, drawTuning].forEach((redraw) => redraw());
  }
  if (surface) {
    const first = Object.keys(surface.val.difference)[0] ?? Object.keys(surface.val.loss)[0];
    chooseMap(first, state.heat_view, state.heat_split);
    state.bin = Math.floor(centers.length * 0.75);
  }
  drawAll();
  showChoices();
  if (page.token_view) window.vslmTokenView(document.getElementById("token-view"), page.token_view);
  // For what stands beside this script on a live page: the figures' numbers, and how to draw them again.
  window.vslm = { page, drawTraining };
})();
