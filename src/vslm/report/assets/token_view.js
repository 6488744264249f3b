// The token view: a text colored by what a model says of every token, through training, and beside another run.
//
//   const view = vslmTokenView(element, data)     data as token_view.py describes it
//   view.show(data)                               other data in the same place; choices stay where they still fit
//
// The report and the live page use the same file. Every text is set as text and never as markup; nothing is loaded.
"use strict";
window.vslmTokenView = (() => {
  const STRONGEST_DIFFERENCE_NATS = 2; // a token e^2 = 7.4 times as likely
  const LEVELS = [0, 0.25, 0.5, 0.75, 1];
  // What leaves no mark of its own on paper, or turns the text around it: shown by its number.
  const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\p{Cs}]/u;
  const MARKS = { "\n": ["↵", "line break"], "\t": ["⇥", "tab"], "\r": ["␍", "carriage return"] };
  const SVG = "http://www.w3.org/2000/svg";
  const encoder = new TextEncoder();
  let numViews = 0;

  // ---- words -----------------------------------------------------------------------------------------------------
  const codePoint = (character) => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  const hex = (bytes) => bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const numBytes = (word) => (word === null ? 0 : Array.isArray(word) ? word.length : encoder.encode(word).length);

  // A word as nodes. In the text a line break also breaks the line; in a list spaces at the ends are marked too.
  function shown(word, isText) {
    if (word === null) return [mark("end of text")];
    if (word === undefined) return [mark("unknown")];
    if (Array.isArray(word)) return [mark(hex(word))];
    const characters = [...word];
    const end = word.trimEnd().length;
    let place = 0;
    const nodes = [];
    if (/^\p{M}/u.test(word)) nodes.push("\u25cc"); // an accent of its own stands on this token, not on the one before
    for (const character of characters) {
      const isEdge = place < word.length - word.trimStart().length || place >= end;
      place += character.length;
      if (MARKS[character]) nodes.push(mark(MARKS[character][0]), ...(isText && character !== "\r" ? [character] : []));
      else if (UNSEEN.test(character)) nodes.push(mark(codePoint(character)));
      else if (!isText && character === " " && isEdge) nodes.push(mark("␣"));
      else nodes.push(character);
    }
    return nodes;
  }
  const mark = (text) => make("i", { className: "token-mark" }, text);

  // What the words of a text look like in it: a character whose bytes are spread over tokens stands where its last byte
  // is, and dots where the others are; bytes that are no character stay bytes.
  function joined(words) {
    let decoder = null;
    return words.map((word) => {
      if (!Array.isArray(word)) decoder = null;
      if (decoder === null) decoder = new TextDecoder("utf-8", { ignoreBOM: true });
      if (!Array.isArray(word)) return { word };
      const text = decoder.decode(new Uint8Array(word), { stream: true });
      return text.includes("\ufffd") ? { word } : { word, ends: text };
    });
  }
  const inText = ({ word, ends }) => (ends === undefined ? shown(word, true) : ends === "" ? [mark("⋯")] : shown(ends, true));

  // A word as it is said aloud.
  function spoken(word, ends) {
    if (word === null) return "end of text";
    if (word === undefined) return "unknown";
    if (Array.isArray(word)) return `bytes ${hex(word)}, ${ends ? `which end ${spoken(ends)}` : "part of a character"}`;
    if (/^ +$/.test(word)) return word.length === 1 ? "space" : `${word.length} spaces`;
    return [...word].map((c) => (MARKS[c] ? ` ${MARKS[c][1]} ` : UNSEEN.test(c) ? ` ${codePoint(c)} ` : c)).join("").trim();
  }

  // ---- numbers ---------------------------------------------------------------------------------------------------
  const whole = (value) => value.toLocaleString("en-US");
  const nats = (value) => (value === null ? "none" : value.toFixed(2).replace("-", "−"));
  const signed = (value) => `${value > 0 ? "+" : ""}${nats(value)}`;
  function chance(p) {
    if (p === null) return "none";
    if (p >= 0.0995) return `${(100 * p).toFixed(p > 0.9995 ? 0 : 1)} %`;
    if (p >= 0.001) return `${(100 * p).toFixed(2)} %`;
    return `1 in ${whole(Number((1 / Math.max(p, 1e-300)).toPrecision(3)))}`;
  }
  const probability = (loss) => (loss === null ? null : Math.exp(-loss));
  const mean = (values) => {
    const found = values.filter((value) => value !== null);
    return found.length ? found.reduce((sum, value) => sum + value, 0) / found.length : null;
  };
  const nearest = (steps, wanted) =>
    steps.reduce((best, step, s) => (Math.abs(Math.log1p(step) - Math.log1p(wanted)) < Math.abs(Math.log1p(steps[best]) - Math.log1p(wanted)) ? s : best), 0);

  // ---- elements --------------------------------------------------------------------------------------------------
  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in element) element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }
  function draw(tag, attributes, ...children) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }
  function chooser(label, onChange) {
    const select = make("select", { onchange: () => onChange(select.value) });
    const box = make("label", { className: "token-choice" }, make("span", {}, label), select);
    // Options are those of `found`, [value, text]; a choice of one is no choice and is not shown.
    const fill = (found, value, least = 2) => {
      select.replaceChildren(...found.map(([key, text]) => make("option", { value: key }, text)));
      select.value = value;
      box.hidden = found.length < least;
    };
    return { box, fill };
  }

  return function create(place, first) {
    const id = `token-view-${numViews++}`;
    const state = { arm: null, seed: null, beside: "", piece: 0, step: Infinity, token: null, pointed: null, since: "before" };
    let data;

    const choices = {
      piece: chooser("Text", (value) => change({ piece: Number(value), token: null })),
      arm: chooser("Arm", (value) => change({ arm: value })),
      beside: chooser("Beside", (value) => change({ beside: value })),
      seed: chooser("Seed", (value) => change({ seed: Number(value) })),
    };
    const slider = make("input", { type: "range", min: 0, step: 1, id: `${id}-step` });
    const stepOutput = make("output", { htmlFor: `${id}-step` });
    const sliderBox = make("label", { className: "token-slider" }, "Training step ", stepOutput, slider);
    const note = make("p", { className: "token-note" });
    const panels = make("div", { className: "token-panels" });
    const legend = make("div", { className: "token-legends" });
    const details = make("div", { className: "token-details", role: "region", "aria-label": "The chosen token" });
    const controls = make("div", { className: "controls" }, ...["piece", "arm", "beside", "seed"].map((name) => choices[name].box));
    place.classList.add("token-view");
    place.replaceChildren(controls, sliderBox, note, legend, panels, details);
    slider.addEventListener("input", () => change({ step: left().steps[Number(slider.value)] }, true));

    // ---- what is chosen ------------------------------------------------------------------------------------------
    const runsOf = (arm) => data.runs.filter((run) => run.arm === arm);
    const pick = (arm) => runsOf(arm).find((run) => run.seed === state.seed) ?? runsOf(arm)[0];
    const left = () => pick(state.arm);
    const right = () => (state.beside ? pick(state.beside) : null);
    const textOf = (run) => data.texts[run.text];
    const wordOf = (run, token) => textOf(run).words[String(token)];
    const idsOf = (run) => textOf(run).pieces[state.piece].ids;
    const saidBy = (run) => run.pieces[state.piece];
    const stepOf = (run) => nearest(run.steps, state.step);
    const label = (run) => (runsOf(run.arm).length > 1 || state.beside ? `${run.arm}, seed ${run.seed}` : run.arm);
    // What the right text is colored by: the difference where token stands against token.
    const isPaired = () => right() !== null && right().text === left().text;

    // The token of another tokenizer's text in which the same byte stands.
    function counterpart(n) {
      if (n === null || right() === null || isPaired()) return n;
      const from = offsets(left())[n][0];
      const found = offsets(right()).findIndex(([start, end]) => start <= from && from < end);
      return found < 0 ? null : found;
    }
    function offsets(run) {
      let end = 0;
      return idsOf(run).map((token) => {
        const start = end;
        end += numBytes(wordOf(run, token));
        return [start, end];
      });
    }

    function change(changes, isStepAlone = false) {
      Object.assign(state, changes);
      settle();
      if (!isStepAlone) build();
      paint();
    }

    // Whatever was asked for, choose what is there.
    function settle() {
      const arms = [...new Set(data.runs.map((run) => run.arm))];
      if (!arms.includes(state.arm)) state.arm = arms.includes(data.baseline) ? data.baseline : arms[0];
      if (!arms.includes(state.beside) || state.beside === state.arm) state.beside = "";
      state.seed = left().seed;
      const { pieces } = textOf(left());
      state.piece = Math.min(state.piece, pieces.length - 1);
      if (right() && !textOf(right()).pieces[state.piece]) state.beside = "";
      const { steps } = left();
      state.step = steps[nearest(steps, Math.min(state.step, Number.MAX_VALUE))];
      const count = idsOf(left()).length;
      if (state.token === null || state.token >= count) state.token = mostLearned();
      state.pointed = null;
    }
    // The token with a letter that training made more likely than any other: something to look at first.
    function mostLearned() {
      const { loss } = saidBy(left());
      const last = loss[loss.length - 1];
      const hasLetter = idsOf(left()).map((token) => /\p{L}/u.test(wordOf(left(), token) ?? ""));
      const gains = last.map((value, n) => (value === null || loss[0][n] === null ? -Infinity : loss[0][n] - value - (hasLetter[n] ? 0 : 1e3)));
      return gains.reduce((best, gain, n) => (gain > gains[best] ? n : best), 0);
    }

    // ---- the texts -----------------------------------------------------------------------------------------------
    let texts = [];
    function build() {
      const arms = [...new Set(data.runs.map((run) => run.arm))];
      const pieces = textOf(left()).pieces;
      choices.piece.fill(pieces.map((piece, i) => [String(i), piece.title ?? `${i + 1} of ${pieces.length}`]), String(state.piece));
      choices.arm.fill(arms.map((arm) => [arm, arm]), state.arm);
      choices.beside.fill([["", "no other"], ...arms.filter((arm) => arm !== state.arm).map((arm) => [arm, arm])], state.beside);
      choices.seed.fill(runsOf(state.arm).map((run) => [String(run.seed), String(run.seed)]), String(state.seed));
      slider.max = left().steps.length - 1;
      sliderBox.hidden = left().steps.length < 2;
      const runs = right() ? [left(), right()] : [left()];
      texts = runs.map((run, side) => textPanel(run, side));
      panels.replaceChildren(...texts.map((text) => text.box));
      panels.classList.toggle("two", texts.length > 1);
      legend.replaceChildren(lossLegend(), ...(isPaired() ? [differenceLegend()] : []));
    }
    function textPanel(run, side) {
      const parts = joined(idsOf(run).map((token) => wordOf(run, token))).map((part, n) => {
        const nodes = inText(part);
        const breaks = []; // line breaks that end a token stand behind it, or its outline would begin another line
        while (nodes[nodes.length - 1] === "\n") breaks.push(nodes.pop());
        return [make("span", { className: "token", role: "option", tabIndex: -1, id: `${id}-${side}-${n}` }, ...nodes), ...breaks];
      });
      const spans = parts.map(([span]) => span);
      const caption = make("figcaption", { id: `${id}-caption-${side}` });
      const body = make("div", { className: "token-text", role: "listbox", "aria-labelledby": `${id}-caption-${side}`, dir: "ltr" }, ...parts.flat());
      const numberOf = (event) => spans.indexOf(event.target.closest(".token"));
      body.addEventListener("pointerover", (event) => { if (event.pointerType !== "touch" && numberOf(event) >= 0) point(side, numberOf(event)); });
      body.addEventListener("pointerleave", () => point(side, null));
      body.addEventListener("click", (event) => { if (numberOf(event) >= 0) choose(side, numberOf(event)); });
      body.addEventListener("keydown", (event) => move(event, side));
      body.addEventListener("focusin", (event) => { if (numberOf(event) >= 0) choose(side, numberOf(event), false); });
      return { run, side, spans, caption, body, box: make("figure", {}, caption, body) };
    }
    // Choosing on the right means the token on the left that stands at the same place.
    function toLeft(side, n) {
      if (side === 0 || n === null || isPaired()) return n;
      const from = offsets(right())[n][0];
      const found = offsets(left()).findIndex(([start, end]) => start <= from && from < end);
      return found < 0 ? state.token : found;
    }
    function point(side, n) {
      state.pointed = toLeft(side, n);
      paintChosen();
    }
    function choose(side, n, isFocused = true) {
      state.token = toLeft(side, n);
      state.pointed = null;
      paintChosen();
      if (isFocused) texts[side].spans[n].focus({ preventScroll: true });
    }
    function move(event, side) {
      const { spans } = texts[side];
      const at = spans.indexOf(document.activeElement);
      if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: spans.length - 1, ArrowDown: otherLine(spans, at, 1), ArrowUp: otherLine(spans, at, -1) }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const there = Math.max(0, Math.min(spans.length - 1, to));
      choose(side, there);
      spans[there].scrollIntoView({ block: "nearest" });
    }
    // The token nearest to this one in the next line or the one before.
    function otherLine(spans, at, direction) {
      const middle = (box) => (box.left + box.right) / 2;
      const here = spans[at].getClientRects()[0];
      let best = at;
      let line = null;
      for (let n = at + direction; n >= 0 && n < spans.length; n += direction) {
        const box = spans[n].getClientRects()[0];
        if (!box || Math.abs(box.top - here.top) < here.height / 2) continue;
        if (line !== null && Math.abs(box.top - line.top) >= here.height / 2) break;
        if (line === null || Math.abs(middle(box) - middle(here)) < Math.abs(middle(line) - middle(here))) [best, line] = [n, box];
      }
      return best;
    }

    // ---- colors --------------------------------------------------------------------------------------------------
    function paint() {
      const s = stepOf(left());
      slider.value = s;
      const step = left().steps[s];
      stepOutput.textContent = whole(step);
      slider.setAttribute("aria-valuetext", `step ${whole(step)}, mean loss ${nats(mean(saidBy(left()).loss[s]))} nats`);
      for (const { run, side, spans, caption } of texts) {
        const at = stepOf(run);
        const { loss } = saidBy(run);
        const isDifference = side === 1 && isPaired();
        const other = isDifference ? saidBy(left()).loss[s] : null;
        const strongest = Math.log(textOf(run).vocabulary);
        spans.forEach((span, n) => {
          const value = loss[at][n];
          const shownValue = isDifference ? difference(value, other[n]) : value;
          span.classList.toggle("unsaid", shownValue === null);
          span.classList.toggle("less", isDifference && shownValue < 0);
          span.classList.toggle("more", isDifference && shownValue > 0);
          const level = shownValue === null ? 0 : Math.min(1, Math.abs(shownValue) / (isDifference ? STRONGEST_DIFFERENCE_NATS : strongest));
          span.style.setProperty("--level", level.toFixed(3));
        });
        const average = mean(loss[at]);
        const gap = isDifference ? mean(loss[at].map((value, n) => difference(value, other[n]))) : null;
        const otherStep = run.steps[at] === step ? "" : ` at step ${whole(run.steps[at])}`;
        caption.textContent = gap === null
          ? `${label(run)}: ${nats(average)} nats per token${otherStep}`
          : `${label(run)}${otherStep}: ${nats(average)} nats per token, ${signed(gap)} beside ${left().arm}`;
      }
      const piece = textOf(left()).pieces[state.piece];
      const differs = right() && !isPaired() ? `${right().arm} reads this text in other tokens, so no token has a difference.` : "";
      note.textContent = [piece.note, differs].filter(Boolean).join(". ");
      note.hidden = !note.textContent;
      paintChosen();
    }
    const difference = (value, other) => (value === null || other === null ? null : value - other);

    function swatch(text, level, kind = "") {
      const sample = make("span", { className: `token ${kind}` }, "token");
      sample.style.setProperty("--level", level);
      return make("span", { className: "token-swatch" }, sample, text);
    }
    function lossLegend() {
      const strongest = Math.log(textOf(left()).vocabulary);
      const rows = LEVELS.map((level) => swatch(level === 1 ? `${nats(strongest)} or more` : nats(level * strongest), level));
      return make("p", { className: "token-legend" }, "Loss in nats", ...rows, `(${nats(strongest)}: a blind guess among ${whole(textOf(left()).vocabulary)})`);
    }
    function differenceLegend() {
      const most = STRONGEST_DIFFERENCE_NATS;
      const rows = [-1, -0.5, 0, 0.5, 1].map((level) =>
        swatch(`${signed(level * most)}${Math.abs(level) === 1 ? (level < 0 ? " or less" : " or more") : ""}`, Math.abs(level), level < 0 ? "less" : level > 0 ? "more" : ""));
      return make("p", { className: "token-legend" }, `${right().arm} minus ${left().arm}`, ...rows);
    }

    // ---- one token -----------------------------------------------------------------------------------------------
    function paintChosen() {
      const n = state.pointed ?? state.token;
      for (const { run, side, spans } of texts) {
        const at = side === 0 ? n : counterpart(n);
        const pinned = side === 0 ? state.token : counterpart(state.token);
        spans.forEach((span, i) => {
          if (span.classList.contains("chosen") !== (i === at)) span.classList.toggle("chosen", i === at);
          const isPinned = i === pinned;
          if ((span.tabIndex === 0) !== isPinned || isPinned) {
            span.tabIndex = isPinned ? 0 : -1;
            span.setAttribute("aria-selected", String(isPinned));
            if (isPinned) span.setAttribute("aria-label", said(run, i));
            else span.removeAttribute("aria-label");
          }
        });
      }
      details.replaceChildren(...aboutToken(n));
    }
    function said(run, n) {
      const { loss, rank } = saidBy(run);
      const s = stepOf(run);
      const word = spoken(wordOf(run, idsOf(run)[n]), endsOf(run, n));
      if (loss[s][n] === null) return `${word}, nothing stands before it`;
      return `${word}, probability ${chance(probability(loss[s][n]))}, loss ${nats(loss[s][n])} nats, rank ${whole(rank[s][n])}`;
    }
    const endsOf = (run, n) => joined(idsOf(run).slice(0, n + 1).map((token) => wordOf(run, token)))[n].ends;
    function aboutToken(n) {
      if (n === null) return [];
      const word = wordOf(left(), idsOf(left())[n]);
      const ends = endsOf(left(), n);
      const [start, end] = offsets(left())[n];
      const where = start === end ? `token ${n + 1}` : `token ${n + 1}, bytes ${whole(start)} to ${whole(end)}`;
      const head = make("div", { className: "token-head" }, make("span", { className: "token-word" }, ...shown(word, false)), ...(ends ? [make("span", {}, "ends "), make("span", { className: "token-word" }, ...shown(ends, false))] : []), make("span", { className: "dim" }, where), since());
      const runs = [[left(), n], ...(right() ? [[right(), counterpart(n)]] : [])];
      const columns = make("div", { className: `token-columns${runs.length > 1 ? " two" : ""}` }, ...runs.map(([run, at]) => column(run, at, runs.length > 1)));
      return [head, columns];
    }
    // Which earlier step changes are told from.
    function since() {
      const { steps } = left();
      const s = stepOf(left());
      if (s === 0) return "";
      const chosen = chooser("Change", (value) => { state.since = value; paintChosen(); details.querySelector("select")?.focus(); });
      const earlier = steps.slice(0, s).map((step) => [String(step), `since step ${whole(step)}`]).reverse();
      const value = earlier.some(([key]) => key === state.since) ? state.since : "before";
      chosen.fill([["before", "since the previous"], ...earlier], value);
      return chosen.box;
    }
    function earlierOf(run) {
      const s = stepOf(run);
      const wanted = run.steps.indexOf(Number(state.since));
      return s === 0 ? null : state.since !== "before" && wanted >= 0 && wanted < s ? wanted : s - 1;
    }
    function column(run, n, isNamed) {
      const box = make("div", { className: "token-column" });
      if (isNamed) box.append(make("h3", {}, label(run)));
      const it = saidBy(run);
      const s = stepOf(run);
      if (n === null || it.loss[s][n] === null) {
        box.append(make("p", { className: "empty" }, n === null ? "No token of this text stands here." : "Nothing stands before this token, so nothing was said of it."));
        return box;
      }
      const before = earlierOf(run);
      const was = (text) => (before === null ? "" : make("span", { className: "sub" }, `was ${text}`));
      const fact = (term, now, then) => make("div", {}, make("dt", {}, term), make("dd", {}, now, then));
      const facts = make("dl", { className: "token-facts" },
        fact("Probability", chance(probability(it.loss[s][n])), was(before === null ? "" : chance(probability(it.loss[before][n])))),
        fact("Loss", `${nats(it.loss[s][n])} nats`, was(before === null ? "" : nats(it.loss[before][n]))),
        fact("Rank", whole(it.rank[s][n]), was(before === null ? "" : whole(it.rank[before][n]))),
        fact("Entropy", `${nats(it.entropy[s][n])} nats`, was(before === null ? "" : nats(it.entropy[before][n]))));
      box.append(make("div", { className: "token-now" }, facts, history(run, n)), likeliest(run, n, s, before));
      return box;
    }
    function likeliest(run, n, s, before) {
      const it = saidBy(run);
      const actual = idsOf(run)[n];
      const rows = it.top[s][n].map((token, k) => {
        if (token < 0) return "";
        const p = likelihood(it, s, n, k, token === actual);
        const bar = make("i", { className: "token-bar" });
        bar.style.width = `${Math.max(0.5, 100 * p)}%`;
        const isActual = token === actual;
        return make("li", { className: isActual ? "is-actual" : "" },
          make("span", { className: "token-word" }, ...shown(wordOf(run, token), false)),
          make("span", { className: "token-track" }, bar),
          make("span", { className: "token-p" }, chance(p)),
          make("span", { className: "sub" }, [isActual ? "this token" : "", changed(it, n, token, before, isActual)].filter(Boolean).join(", ")));
      });
      return make("ol", { className: "token-top", "aria-label": `The likeliest at step ${whole(run.steps[s])}` }, ...rows);
    }
    // Of the token that stands there the loss tells the same, in more digits.
    const likelihood = (it, s, n, k, isActual) => (isActual ? probability(it.loss[s][n]) : it.p[s][n][k]);
    function changed(it, n, token, before, isActual) {
      if (before === null) return "";
      const k = it.top[before][n].indexOf(token);
      return k < 0 && !isActual ? `was not among the ${it.top[before][n].length}` : `was ${chance(likelihood(it, before, n, k, isActual))}`;
    }
    // The loss of this token after every stored step, as a line; high is unexpected.
    function history(run, n) {
      const [width, height, pad] = [150, 46, 5];
      const losses = saidBy(run).loss.map((row) => row[n]);
      if (losses.length < 2) return "";
      const most = Math.max(Math.log(textOf(run).vocabulary), ...losses.filter((value) => value !== null));
      const x = (s) => pad + (s * (width - 2 * pad)) / (losses.length - 1);
      const y = (value) => pad + (1 - value / most) * (height - 2 * pad);
      const points = losses.map((value, s) => (value === null ? null : `${x(s).toFixed(1)},${y(value).toFixed(1)}`)).filter(Boolean);
      const s = stepOf(run);
      const words = `Loss of this token from ${nats(losses[0])} nats at step ${whole(run.steps[0])} to ${nats(losses[losses.length - 1])} at step ${whole(run.steps[losses.length - 1])}`;
      return make("div", { className: "token-history" },
        draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words },
          draw("line", { x1: pad, x2: width - pad, y1: y(0), y2: y(0), class: "axis" }),
          draw("polyline", { points: points.join(" ") }),
          draw("circle", { cx: x(s), cy: y(losses[s] ?? 0), r: 3.5 })),
        make("span", { className: "sub" }, "loss through training"));
    }

    function show(found) {
      data = found;
      state.token = null;
      settle();
      build();
      paint();
    }
    show(first);
    return { show };
  };
})();
