(async () => {
  const at = id => document.getElementById(id);
  if (!("DecompressionStream" in window)) {
    at("tabs").append("This page needs a browser of 2023 or later. `cwbench leaderboard --format md` prints the tables.");
    return;
  }
  const packed = Uint8Array.from(atob(at("data").textContent), character => character.charCodeAt(0));
  const data = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
  // a cell: see CELL in page.py; the text of a row's cells is read when the row is first shown
  const [MEAN, HALF, P90, RANK, RANKS, TIED, SCALED, LOG, SEEDS, RUNS] = Array(10).keys();
  const [SEED, STATUS, ERROR, TAIL, ENVIRONMENT, FIT, WHEN, WHOSE] = Array(8).keys();
  const cellsOf = row => typeof row.cells === "string" ? (row.cells = row.cells.split(";").slice(0, -1).map(unpacked)) : row.cells;
  const unpacked = cell => cell ? cell.split(",").map(number => number ? Number(number) : null) : 0;
  const state = { stage: "", board: -1, metric: "", nfe: "", scale: "raw", sort: "value", down: false };

  const board = () => data.boards[state.board];
  const columnOf = (b, metric, nfe) => b.columns.findIndex(c => c.metric === metric && c.nfe === nfe);
  const nfeText = nfe => nfe ? `NFE ${nfe}` : "one shot";
  const unique = values => [...new Set(values)];

  // The shown quantity of a cell: [value, low, high].
  function shown(cell, as = state.scale) {
    if (!cell) return [null, null, null];
    if (as === "scaled") return [cell[SCALED], null, null];
    if (as === "log") return [cell[LOG], null, null];
    const [mean, half] = [cell[MEAN], cell[HALF]];
    return half == null ? [mean, null, null] : [mean, mean - half, mean + half];
  }

  function valueText(cell, as = state.scale) {
    const [value, low, high] = shown(cell, as);
    if (value == null) return ["\u2013", ""];
    if (as !== "raw") return [fixed(value, 2), ""];
    const places = low == null ? null : digits((high - low) / 2);
    if (places == null) return [short(value), ""];
    return [fixed(value, places), " \u00b1 " + fixed((high - low) / 2, places)];
  }

  const rankText = cell => !cell || cell[RANK] == null ? ""
    : cell[RANK] === cell[RANKS] ? String(cell[RANK]) : `${cell[RANK]}\u2013${cell[RANKS]}`;
  const seedsText = (row, cell) => {
    const tried = row.runs.filter(run => run[STATUS] !== "skipped"), runs = tried.length;
    if (!cell && runs && tried.every(run => run[STATUS] === "ok")) return "\u2013";
    const [some, all] = cell ? [cell[SEEDS], cell[RUNS]] : [0, runs];
    return some === all ? String(all) : `${some}/${all}`;
  };

  const COLUMNS = [
    { id: "rank", title: "Rank", key: r => r.cell && r.cell[RANK], text: r => rankText(r.cell) },
    { id: "method", title: "Method", key: r => r.row.label, left: true },
    { id: "value", title: () => heading(), key: r => shown(r.cell)[0] },
    { id: "bar", title: "" },
    { id: "second", title: () => `${board().second} calls`, wide: true, key: r => shown(second(r.row))[0], text: r => second(r.row) ? valueText(second(r.row)).join("") : "", shown: b => b.rows.some(second) },
    { id: "scaled", title: "scaled", wide: true, down: true, key: r => r.cell && r.cell[SCALED], text: r => r.cell && r.cell[SCALED] != null ? fixed(r.cell[SCALED], 2) : "" },
    { id: "p90", title: "p90", wide: true, key: r => r.cell && r.cell[P90], text: r => short(r.cell && r.cell[P90]) },
    { id: "seeds", title: "seeds", down: true, key: r => r.cell ? r.cell[SEEDS] : 0, text: r => seedsText(r.row, r.cell) },
    { id: "evaluations", title: "evaluations", wide: true, key: r => cost(r.row, 0), text: r => short(cost(r.row, 0)) },
    { id: "sampling", title: "sampling s", wide: true, key: r => cost(r.row, 1), text: r => short(cost(r.row, 1)) },
    { id: "fit", title: "fit s", wide: true, key: r => r.row.fit, text: r => short(r.row.fit) },
    { id: "converged", title: "converged", wide: true, left: true, key: r => r.row.converged, text: r => r.row.converged, shown: b => b.rows.some(row => row.converged) },
    { id: "sees", title: "sees", wide: true, left: true, key: r => r.row.sees, text: r => r.row.sees },
    { id: "origin", title: "from", wide: true, left: true, key: r => r.row.origin, text: r => r.row.origin },
  ];
  const cost = (row, which) => (row.costs[state.nfe] || [null, null])[which];

  // What the same sampler has at few calls, in the column that is shown.
  const second = row => board().second in row.beside ? cellsOf(board().rows[row.beside[board().second]])[chosenColumn()] : 0;

  const columnsShown = () => COLUMNS.filter(c => !c.shown || c.shown(board()));

  // The rows without those that stand beside another one, at other numbers of calls.
  const lines = b => {
    const beside = new Set(b.rows.flatMap(row => Object.values(row.beside)));
    return b.rows.filter((_, i) => !beside.has(i));
  };

  let entries = [];  // of the board shown: {row, cell, tr}

  function chosenColumn() { return columnOf(board(), state.metric, state.nfe); }

  function heading() {
    const c = board().columns[chosenColumn()];
    const name = c ? c.metric + (c.nfe ? ` @ ${c.nfe}` : "") : "";
    return state.scale === "raw" ? name : `${name}, ${state.scale === "scaled" ? "scaled" : "log10 G"}`;
  }

  function buildHead() {
    const row = make("tr");
    for (const column of columnsShown()) {
      const th = make("th", { scope: "col", className: (column.left ? "text " : "") + (column.wide ? "wide " : "") + (column.id === "bar" ? "bar" : "") });
      if (column.key) {
        const title = typeof column.title === "function" ? column.title() : column.title;
        const button = make("button", { type: "button" }, title);
        button.dataset.sort = column.id;
        button.addEventListener("click", () => sortBy(column.id));
        th.append(button);
        th.dataset.column = column.id;
      }
      row.append(th);
    }
    document.querySelector("#board thead").replaceChildren(row);
  }

  function span() {
    const methods = entries.filter(e => e.row.role === "method" && shown(e.cell)[0] != null);
    const all = (methods.length ? methods : entries).flatMap(e => shown(e.cell)).filter(v => v != null);
    return all.length ? [Math.min(0, ...all), Math.max(...all)] : [0, 1];
  }

  function bar(cell, [from, to]) {
    const [value, low, high] = shown(cell);
    const td = make("td", { className: "bar" });
    if (value == null || to === from) return td;
    const x = v => 2 + 96 * Math.min(1, Math.max(0, (v - from) / (to - from)));  // controls may lie beyond
    const svg = draw("svg", { viewBox: "0 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true" });
    svg.append(draw("line", { x1: x(0), x2: x(0), y1: 0, y2: 14, class: "grid", "vector-effect": "non-scaling-stroke" }));
    if (low != null) svg.append(draw("rect", { x: x(low), width: Math.max(.5, x(high) - x(low)), y: 4, height: 6, fill: "var(--bar)" }));
    svg.append(draw("rect", { x: x(value) - .6, width: 1.2, y: 1, height: 12, fill: "currentColor" }));
    td.append(svg);
    return td;
  }

  function buildRow(entry, limits) {
    const { row, cell } = entry;
    const tr = make("tr", { className: (row.role !== "method" ? "control " : "") + (cell && cell[TIED] === 1 ? "tied" : "") });
    for (const column of columnsShown()) {
      if (column.id === "bar") { tr.append(bar(cell, limits)); continue; }
      const td = make("td", { className: (column.left ? "text " : "") + (column.wide ? "wide" : "") });
      if (column.id === "method") {
        const open = make("button", { type: "button", className: "open" }, row.label);
        open.addEventListener("click", () => details(row));
        td.append(open);
        if (row.older) td.append(make("span", { className: "mark", title: older(row.older) }, "\u2020"));
        if (row.note) td.append(make("span", { className: "note" }, row.note));
      } else if (column.id === "value") {
        const [value, half] = valueText(cell);
        td.className = "value";
        if (cell && cell[TIED] === 1) td.append(make("span", { className: "mark", title: "cannot be told from the best" }, "= "));
        td.append(value, make("span", { className: "half" }, half));
      } else td.append(column.text(entry) || "");
      tr.append(td);
    }
    return tr;
  }

  function buildTable() {
    const index = chosenColumn();
    entries = lines(board()).map(row => ({ row, cell: index >= 0 ? cellsOf(row)[index] : 0 }));
    const limits = span();
    for (const entry of entries) entry.tr = buildRow(entry, limits);
    buildHead();
    arrange();
    reading(index);
    pareto();
  }

  // Order: methods with all seeds, then incomplete ones, then those without a value, then controls.
  function arrange() {
    const column = COLUMNS.find(c => c.id === state.sort);
    const chosen = board().columns[chosenColumn()];
    const higher = state.sort === "value" && (state.scale === "scaled" || (chosen && chosen.direction === "higher" && state.scale === "raw"));
    const sign = (state.down ? -1 : 1) * (higher || column.down ? -1 : 1);
    const group = e => e.row.role !== "method" ? 3 : !e.cell || !e.cell[SEEDS] ? 2 : e.cell[SEEDS] < e.cell[RUNS] ? 1 : 0;
    const keys = new Map(entries.map(e => [e, column.key(e)]));
    const words = new Intl.Collator("en", { numeric: true });
    const compare = (a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (x == null || y == null) return (x == null) - (y == null);
      return sign * (typeof x === "string" ? words.compare(x, y) : x - y);
    };
    const ranked = state.sort === "value" || state.sort === "rank" || state.sort === "scaled";
    entries.sort((a, b) => (ranked ? group(a) - group(b) : (a.row.role !== "method") - (b.row.role !== "method")) || compare(a, b));
    const wanted = at("filter").value.trim().toLowerCase();
    const controls = at("controls").checked;
    const body = document.createDocumentFragment();
    let before = 0, control = 0;
    for (const entry of entries) {
      const isControl = entry.row.role !== "method";
      if ((isControl && !controls) || !entry.row.label.toLowerCase().includes(wanted)) continue;
      entry.tr.classList.toggle("first-control", isControl && before > 0 && !control++);
      if (!isControl) before++;
      body.append(entry.tr);
    }
    document.querySelector("#board tbody").replaceChildren(body);
    for (const th of document.querySelectorAll("#board th[data-column]")) {
      if (th.dataset.column === state.sort) th.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      else th.removeAttribute("aria-sort");
    }
  }

  function sortBy(id) {
    state.down = state.sort === id ? !state.down : false;
    state.sort = id;
    arrange();
  }

  function older(what) { return `of an older version than is installed: ${what}`; }

  const count = (n, one, several = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : several}`;

  // What is measured is called by its kind: posteriors of observations, or images of classes.
  const WORDS = {
    observations: { part: "observation", parts: "observations", floor: "the floor", column: "floor" },
    images: { part: "class", parts: "classes", floor: "what as many real images do", column: "real images" },
  };
  function words() { return WORDS[board().group === "labelled-images" ? "images" : "observations"]; }

  function sizes(c) {
    const over = count(c.observations, words().part, words().parts);
    if (words() === WORDS.observations) return `${over}, ${count(c.samples, "sample")} a side`;
    return (c.observations > 1 ? `${over}, ` : "") + count(c.samples, "image");
  }

  function reading(index) {
    const c = board().columns[index], b = board();
    if (!c) { at("reading").textContent = "No method has this metric at this NFE."; return; }
    const parts = [`${sizes(c)}, metric version ${c.version}${c.source ? ` of ${c.source}` : ""}`];
    parts.push(c.direction === "higher" ? "higher is better" : c.debiased ? "lower is better, 0 is perfect" : `lower is better; a perfect sampler scores ${words().floor}, not 0`);
    if (b.rows.some(row => row.converged)) parts.push("converged: no where four times the steps on the same pairs take off more than the interval and than 20\u2009% of the smaller of the value and the unit, yes where that is not in the interval (in brackets: seeds, where fewer than three)");
    if (b.rows.some(row => Object.keys(row.beside).length)) parts.push("calls: network evaluations a draw of samplers whose settings say how many; ranked are the rows shown, those at other numbers open from their details");
    if (!c.ranks) parts.push("shown, never ranked by: a wrong sampler can have the better value");
    if (b.together.includes(c.metric)) parts.push(`in ${b.dimension ?? "unknown"} dimensions a verdict is called only where ${b.together.join(", ")} do not contradict each other`);
    if (b.remark) parts.push(b.remark);
    const found = [b.older, c.older, ...b.rows.map(r => r.older)].filter(Boolean);
    if (found.length) parts.push(`\u2020 ${older(unique(found).join(", "))}`);
    at("reading").textContent = parts.join(" \u00b7 ") + ".";
  }

  // --- quality against cost
  function points() {
    const b = board(), by = at("cost").value, out = [];
    const owners = new Map(b.rows.flatMap(row => Object.values(row.beside).map(i => [b.rows[i], row])));
    b.rows.forEach(row => {
      if (row.role !== "method") return;
      b.columns.forEach((c, i) => {
        const cell = cellsOf(row)[i];
        if (c.metric !== state.metric || !cell || cell[MEAN] == null || (row.oneShot && c.nfe !== state.nfe)) return;
        if (by === "fit" && c.nfe !== state.nfe) return;
        const costs = row.costs[c.nfe] || [];
        const x = by === "fit" ? row.fit : costs[by === "nfe" ? 0 : 1];
        if (x != null) out.push({ row, of: owners.get(row) || row, x, y: cell[MEAN], nfe: row.oneShot ? "one shot" : nfeText(c.nfe) });
      });
    });
    return out;
  }

  const knows = row => row.role === "method" && row.sees !== "pairs";

  // A circle for a method that saw pairs, a square for one that knows more.
  const mark = (row, cx, cy, r, looks, ...inner) => knows(row)
    ? draw("rect", { x: cx - r, y: cy - r, width: 2 * r, height: 2 * r, ...looks }, ...inner)
    : draw("circle", { cx, cy, r, ...looks }, ...inner);

  function pareto() {
    const found = points(), plot = at("plot"), b = board();
    const c = b.columns.find(each => each.metric === state.metric);
    at("pareto").hidden = !found.length || !c;
    if (at("pareto").hidden) return;
    const width = widthIn(plot);
    const x = scale(found.map(p => p.x), width - LEFT - RIGHT, LEFT, false), y = scale(found.map(p => p.y), HEIGHT - BOTTOM - TOP, TOP, true);
    const costName = { nfe: "network evaluations per sample", sampling: "seconds of sampling", fit: "seconds of fit" }[at("cost").value];
    const svg = frame({ width, title: `${state.metric} against ${costName}`, about: "The table has the values.", x: { name: costName, ticks: numbered(x) }, y: { name: state.metric, ticks: numbered(y) } });
    const sign = c.direction === "higher" ? -1 : 1;
    let best = Infinity;
    const front = [...found].sort((p, q) => p.x - q.x || sign * (p.y - q.y)).filter(p => sign * p.y < best && ((best = sign * p.y), true));
    svg.append(draw("path", { class: "front", d: front.map((p, i) => i ? `H${x.place(p.x)}V${y.place(p.y)}` : `M${x.place(p.x)} ${y.place(p.y)}`).join("") }));
    const rows = [...new Set(found.map(p => p.of))];
    for (const p of found) {
      const colour = colourOf(p.row);
      const dot = mark(p.row, x.place(p.x), y.place(p.y), front.includes(p) ? 5 : 3.5, { fill: y.clipped(p.y) ? "none" : colour, stroke: colour },
        draw("title", {}, `${p.row.label}, ${p.nfe}: ${short(p.y)} at ${short(p.x)}`));
      svg.append(dot);
    }
    const legend = make("p", { className: "legend" });
    rows.slice(0, 14).forEach(row => {
      legend.append(sample(mark(row, 11, 5, 4, { fill: colourOf(row) })), ` ${row.label}\u2003`);
    });
    if (rows.length > 14) legend.append(`and ${rows.length - 14} more. `);
    legend.append("Line: what no other method beats at no more cost. Hollow: at or below the axis.");
    if (rows.some(knows)) legend.append(" Squares: methods that know more of the task than pairs.");
    plot.replaceChildren(svg, legend);
  }

  // --- one method beside the best one and the controls
  const DASHES = ["7 3", "2 3", "7 3 2 3", "12 4"];

  // The raw values that a row has at these columns; `slot` is the place of the column among them.
  const scores = (row, columns) => columns.flatMap((index, slot) => {
    const cell = cellsOf(row)[index], [mean, low, high] = shown(cell, "raw");
    return mean == null ? [] : [{ index, slot, mean, low: low ?? mean, high: high ?? mean, text: valueText(cell, "raw").join("") }];
  });

  // What to draw: along the NFE where the row has values at several, else each row at the one it has.
  function compared(row) {
    const b = board(), chosen = b.columns[chosenColumn()];
    const kind = c => [c.metric, c.version, c.source, c.observations, c.samples].join();
    const all = b.columns.flatMap((c, i) => kind(c) === kind(chosen) ? [i] : []);
    const own = scores(row, all), along = own.length > 1;
    const columns = along ? all : own.map(s => s.index);
    const others = lines(b).filter(r => r !== row), best = others.find(r => r.role === "method" && scores(r, [b.main]).length);
    const rows = [row, ...others.filter(r => r === best || r.role !== "method")].filter(r => scores(r, columns).length);
    const rank = row === b.rows[0] ? "next" : "best";
    const role = r => r === best ? `${rank} by ${b.columns[b.main].metric}` : `${r === row ? "this " : ""}${r.role === "method" ? "method" : "control"}`;
    const curves = rows.map((r, i) => {
      const flat = along && r.oneShot, found = scores(r, columns);
      return {
        row: r, flat, own: r === row, dots: !flat && (r === row || !along), name: `${r.label} (${role(r)})`,
        scores: along ? found : found.map(s => ({ ...s, slot: i })),
        stroke: { stroke: colourOf(r), "stroke-width": r === row ? 2.2 : 1.2, "stroke-dasharray": along && i ? DASHES[(i - 1) % DASHES.length] : "", fill: "none" },
        text: flat ? `${found[0].text} at every NFE` : found.map(s => `${s.text} at ${nfeText(b.columns[s.index].nfe)}`).join(", "),
      };
    });
    const words = along ? columns.map(i => b.columns[i].nfe || "one shot") : rows.map(r => r === row ? "this one" : r === best ? rank : r.label);
    return { along, curves, words, at: columns.map(i => nfeText(b.columns[i].nfe)) };
  }

  // A line, with dots and intervals where they are wanted.
  function strokes({ row, scores, flat, own, dots, stroke, name }, x, y, right) {
    const line = flat ? `M${LEFT} ${y.place(scores[0].mean)}H${right}` : "M" + scores.map(s => `${x(s.slot)} ${y.place(s.mean)}`).join("L");
    const parts = [draw("path", { ...stroke, d: line })];
    if (flat && own) parts.push(draw("rect", { x: LEFT, width: right - LEFT, y: y.place(scores[0].high), height: y.place(scores[0].low) - y.place(scores[0].high), fill: colourOf(row), opacity: .18 }));
    for (const s of dots ? scores : []) parts.push(
      draw("path", { ...stroke, "stroke-dasharray": "", class: "interval", d: `M${x(s.slot)} ${y.place(s.low)}V${y.place(s.high)}` }),
      draw("circle", { cx: x(s.slot), cy: y.place(s.mean), r: 4, fill: y.clipped(s.mean) ? "var(--paper)" : colourOf(row), stroke: colourOf(row) }, draw("title", {}, `${name}: ${s.text}`)));
    return parts;
  }

  function curvesOf(row, width) {
    const { along, curves, words, at } = compared(row);
    if (!curves.length) return make("p", {}, "No value to draw.");
    const title = `${state.metric} ${along ? "against NFE" : `at ${at[0]}`}`, right = width - RIGHT;
    const places = along ? spaced(words) : [...words.keys()], step = (right - LEFT) / (places[places.length - 1] + 1);
    const x = slot => LEFT + step * (places[slot] + .5);
    const bounding = curves.filter(c => c.own || c.row.role === "method" || c.scores.every(s => s.low > 0)).flatMap(c => c.scores);  // a control at 0 would stretch the axis
    const y = scale(bounding.flatMap(s => [s.mean, s.high]), HEIGHT - BOTTOM - TOP, TOP, true, bounding.map(s => s.low));
    const svg = frame({ width, title: `${row.label}: ${title}`, about: curves.map(c => `${c.name}: ${c.text}`).join("; "),
      x: { name: along ? "NFE (network evaluations per sample)" : "", ticks: words.map((text, i) => [x(i), along ? text : cut(text, step)]) }, y: { name: state.metric, ticks: numbered(y) } });
    for (const curve of [...curves].reverse()) svg.append(...strokes(curve, x, y, right));
    const legend = make("p", { className: "legend" });
    for (const curve of curves) legend.append(make("span", { className: "entry" }, sample(draw("path", { ...curve.stroke, d: "M0 5H22" })), ` ${curve.name}`), " ");
    const beyond = curves.some(c => c.scores.some(s => y.clipped(c.dots ? s.low : s.mean)));
    legend.append(`95\u2009% intervals.${beyond ? " What touches the lower edge, or is hollow, lies there or below." : ""}`);
    return make("figure", { id: "curves" }, make("figcaption", {}, title), svg, legend);
  }

  // --- details
  const plain = value => value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
  const list = object => {
    const dl = make("dl");
    for (const [name, value] of Object.entries(object)) {
      if (value !== null && value !== "") dl.append(make("dt", {}, name), make("dd", {}, plain(value)));
    }
    return dl;
  };
  const grid = (head, rows) => make("div", { className: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {}, ...head.map((h, i) => make("th", { scope: "col", className: i ? "" : "text" }, h)))),
    make("tbody", {}, ...rows.map(cells => make("tr", {}, ...cells.map((c, i) => make("td", { className: i ? "" : "text" }, c)))))));

  // The run's own figure, or where it lies when the page has no room for it.
  function picture({ picture }) {
    if (!picture) return [];
    const [path, content] = picture;
    if (!content) return [make("p", {}, `A figure of its samples, in the directory of results: ${path}`)];
    return [make("figure", { id: "picture" }, make("figcaption", {}, path), make("img", { alt: `Samples of ${path}`, src: `data:image/png;base64,${content}` }))];
  }

  function details(row) {
    const b = board(), body = [];
    if (!at("details").open) at("details").showModal();  // first, so that its width is known
    at("details-title").textContent = `${row.label} on ${b.title}`;
    const metrics = unique(b.columns.map(c => c.metric)), place = nfe => nfe ? Number(nfe) || Infinity : 0;
    const nfes = unique(b.columns.map(c => c.nfe)).sort((one, other) => place(one) === place(other) ? 0 : place(one) - place(other));
    const text = cell => cell ? valueText(cell, "raw").join("") : "";
    body.push(make("h3", {}, "Metrics"), grid(["metric", ...nfes.map(n => n ? `NFE ${n}` : "value"), words().column], metrics.map(m => {
      const cells = nfes.map(n => { const i = columnOf(b, m, n); return i < 0 ? 0 : cellsOf(row)[i]; });
      const floor = b.columns.filter(c => c.metric === m).pop().floor;
      return [m, ...cells.map(text), short(floor)];
    })));
    body.push(make("h3", {}, "Figures"), curvesOf(row, widthIn(at("details-body"))), ...picture(row));
    body.push(make("h3", {}, "Runs"), grid(["seed", "run", "status", "fit s", "finished", "from"], row.runs.map(r => [String(r[SEED]), `${row.key}-${r[SEED]}`, r[STATUS], short(r[FIT]), r[WHEN], r[WHOSE]])));
    for (const run of row.runs) {
      if (run[ERROR]) body.push(make("h3", { className: "bad" }, `Seed ${run[SEED]}: ${run[STATUS]}`), make("pre", {}, run[ERROR]));
      if (run[TAIL]) body.push(make("h3", {}, "End of its log"), make("pre", {}, run[TAIL]));
    }
    body.push(make("h3", {}, "Settings"), list(row.params));
    const beside = Object.entries(row.beside);
    if (beside.length) body.push(make("h3", {}, "At other numbers of calls"), ...beside.map(([calls, i]) => {
      const open = make("button", { type: "button", className: "open" }, `${count(Number(calls), "call")}: ${b.rows[i].label}`);
      open.addEventListener("click", () => details(b.rows[i]));
      return make("p", {}, open);
    }));
    body.push(make("h3", {}, "Cost"), list({ "seconds of fit": row.fit, parameters: row.parameters,
      "evaluations per sample": Object.entries(row.costs).filter(([, c]) => c[0] != null).map(([n, c]) => `${n || "one shot"}: ${short(c[0])}`).join(", "),
      "seconds of sampling": Object.entries(row.costs).filter(([, c]) => c[1] != null).map(([n, c]) => `${n || "one shot"}: ${short(c[1])}`).join(", ") }));
    const [names, ...values] = row.diagnostics; // of a name one value if all seeds agree, else one each
    const diagnostics = data.shared[names].map((name, i) => [name, ...row.runs.map((_, k) => plain(Array.isArray(values[i]) ? values[i][k] : values[i]))]);
    if (diagnostics.length) body.push(make("h3", {}, "Diagnostics"), grid(["", ...row.runs.map(r => `seed ${r[SEED]}`)], diagnostics));
    for (const index of unique(row.runs.map(r => r[ENVIRONMENT]))) body.push(make("h3", {}, "Environment"), list(data.shared[index]));
    body.push(make("h3", {}, "Task and preset"), list({ ...b.params, ...b.budget }));
    at("details-body").replaceChildren(...body);
    at("details").scrollTop = 0;
  }

  // --- choosing
  function fill(select, values, chosen, name = v => v) {
    select.replaceChildren(...values.map(v => make("option", { value: v, selected: v === chosen }, name(v))));
    select.value = chosen;
  }

  function chooseBoard(index) {
    state.board = index;
    const b = board(), main = b.columns[b.main];
    at("title").textContent = b.title + (b.older ? "\u2020" : "");
    at("facts").textContent = `version ${b.version} \u00b7 ${b.dimension ?? "?"} dimensions \u00b7 group ${b.group}${b.remark ? " \u00b7 nearly Gaussian, no vote" : ""} \u00b7 ${count(lines(b).length, "method")}`;
    at("over").textContent = words().parts;
    const metrics = unique(b.columns.map(c => c.metric));
    if (!metrics.includes(state.metric) || main) state.metric = main ? main.metric : metrics[0] || "";
    state.sort = "value";
    state.down = false;
    fill(at("metric"), metrics, state.metric);
    chooseMetric(main ? main.nfe : undefined);
    for (const figure of document.querySelectorAll("figure[data-board]")) figure.hidden = figure.dataset.board !== String(index);
  }

  function chooseMetric(nfe) {
    const all = board().columns.filter(c => c.metric === state.metric).map(c => c.nfe);
    state.nfe = all.includes(nfe) ? nfe : all.includes(state.nfe) ? state.nfe : all[all.length - 1] ?? "";
    fill(at("nfe"), unique(all), state.nfe, v => v || "one shot");
    buildTable();
  }

  function select(tab) {
    for (const button of at("tabs").children) {
      const chosen = button === tab;
      button.setAttribute("aria-selected", chosen);
      button.tabIndex = chosen ? 0 : -1;
    }
    at("task").hidden = false;
    at("task").setAttribute("aria-labelledby", tab.id);
    chooseBoard(Number(tab.dataset.board));
  }

  function chooseStage(name) {
    state.stage = name;
    const tabs = data.boards.map((b, i) => [b.title, i]).filter(([, i]) => data.boards[i].stage === name);
    at("tabs").replaceChildren(...tabs.map(([title, index]) => {
      const button = make("button", { type: "button", role: "tab", id: `tab-${index}` }, title);
      button.setAttribute("aria-controls", "task");
      button.dataset.board = index;
      button.addEventListener("click", () => select(button));
      return button;
    }));
    select(at("tabs").children[0]);
  }

  at("tabs").addEventListener("keydown", event => {
    const all = [...at("tabs").children], here = all.indexOf(document.activeElement);
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || here < 0) return;
    const tab = all[(to + all.length) % all.length];
    tab.focus();
    select(tab);
    event.preventDefault();
  });
  at("stage").addEventListener("change", event => chooseStage(event.target.value));
  at("metric").addEventListener("change", event => { state.metric = event.target.value; chooseMetric(state.nfe); });
  at("nfe").addEventListener("change", event => { state.nfe = event.target.value; buildTable(); });
  at("filter").addEventListener("input", arrange);
  at("controls").addEventListener("change", arrange);
  at("cost").addEventListener("change", pareto);
  at("choices").addEventListener("submit", event => event.preventDefault());
  for (const radio of document.querySelectorAll("[name=scale]")) {
    radio.addEventListener("change", () => { state.scale = radio.value; buildTable(); });
  }

  const stages = unique(data.boards.map(b => b.stage));
  if (!stages.length) {
    at("tabs").append("No records yet.");
    at("stage").disabled = true;
  } else {
    fill(at("stage"), stages, stages[0]);
    chooseStage(stages[0]);
  }
})();
