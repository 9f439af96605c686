// Draws a summary: `shadowtap.render(summary)`, as often as there is a new one. What the reader has opened, sorted,
// filtered or chosen stays as it is. Everything from the wire becomes text nodes: nothing of it is ever parsed as HTML.
"use strict";
const shadowtap = (() => {
  const STEP = 60; // routes that are shown at a time
  const view = { target: null, sort: "matters", down: true, filter: "", differing: false, shown: STEP, open: new Set() };
  let summary = null, live = false, root = null, routeRows = null, printing = false;

  // ---- elements -------------------------------------------------------------------------------------------------
  const NS = "http://www.w3.org/2000/svg";
  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children.flat(9)) if (child !== null && child !== undefined && child !== false) node.append(child);
    return node;
  };
  const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  const s = (tag, attributes, ...children) => fill(document.createElementNS(NS, tag), attributes, children);

  // Control characters, lone surrogates and what turns text around or has no width: shown, never obeyed.
  const ODD = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
  const oddName = (c) => {
    const code = c.charCodeAt(0);
    if (code < 32) return String.fromCharCode(0x2400 + code);
    return code === 127 ? "\u2421" : "U+" + code.toString(16).toUpperCase().padStart(4, "0");
  };
  const shown = (text, lines) => {
    const parts = [];
    let last = 0;
    text = String(text);
    for (const found of text.matchAll(ODD)) {
      if (lines && (found[0] === "\n" || found[0] === "\t")) continue;
      parts.push(text.slice(last, found.index), h("span", { class: "odd-char" }, oddName(found[0])));
      last = found.index + found[0].length;
    }
    return [...parts, text.slice(last)];
  };
  const wire = (text) => h("bdi", { class: "wire" }, shown(text));

  // ---- numbers --------------------------------------------------------------------------------------------------
  const number = (n) => Math.round(n).toLocaleString("en-GB");
  const three = (v) => (v < 9.995 ? v.toFixed(2) : v < 99.95 ? v.toFixed(1) : v.toFixed(0));
  const duration = (us) => {
    if (us < 1000) return Math.round(us) + "\u202fµs";
    if (us < 999500) return three(us / 1e3) + "\u202fms";
    if (us < 59.95e6) return three(us / 1e6) + "\u202fs";
    return clockLength(us / 1e6);
  };
  const clockLength = (seconds) => {
    const all = Math.round(seconds), h = Math.floor(all / 3600), m = Math.floor(all / 60) % 60, s = all % 60;
    const two = (n) => String(n).padStart(2, "0");
    return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
  };
  const length = (seconds) => (seconds < 60 ? seconds.toFixed(1) + " s" : seconds < 3600 ? `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s` : `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`);
  // A share is never rounded to all or to nothing where it is neither.
  const percent = (share) => {
    const p = share * 100;
    if (p > 0 && p < 0.01) return "<\u202f0.01\u202f%";
    if (p < 100 && p > 99.99) return ">\u202f99.99\u202f%";
    return String(+p.toFixed(2)) + "\u202f%";
  };
  const bytes = (n) => {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let at = 0;
    while (n >= 999.5 && at < 4) { n /= 1000; at += 1; }
    return (at ? three(n) : n) + "\u202f" + units[at];
  };
  const times = (x) => (x < 9.95 ? x.toFixed(1) : number(Math.round(x))) + "\u202f×";
  const counted = (n, what) => `${number(n)} ${what}${n === 1 ? "" : "s"}`;
  const sum = (counts) => Object.values(counts || {}).reduce((a, b) => a + b, 0);
  const words = (key) => key.replace(/_/g, " ");
  const has = (figures) => Boolean(figures && figures.count);

  // What is slower: by a ratio and a distance in microseconds, on enough samples, as the report's verdict has it.
  const RATIO = 1.25, FEW = 8, SPEED = [["p95", 100, 5000], ["p50", 30, 2000], ["p99", 500, 10000]];
  const beyond = (before, after, distance) => after >= before + distance && after >= RATIO * before;
  const slower = (before, after) => {
    if (!has(before) || !has(after)) return null;
    const found = SPEED.find(([name, samples, distance]) => Math.min(before.count, after.count) >= samples && before[name] && after[name] && beyond(before[name], after[name], distance));
    const apart = Math.min(before.count, after.count) >= FEW && beyond(before.max, after.min, SPEED[1][2]);
    const name = found ? found[0] : apart ? "p50" : null;
    return name && { name, before: before[name], after: after[name] };
  };
  const known = (before, after) => {
    const found = has(before) && has(after) && SPEED.find(([name, samples]) => Math.min(before.count, after.count) >= samples && before[name] && after[name]);
    return found ? { name: found[0], before: before[found[0]], after: after[found[0]] } : null;
  };
  // Without a schedule (--speed max) a run makes its own queue at the target.
  const isJudged = (t) => Boolean(t && t.schedule_lag_us);
  // Two counts of the same requests: whether one is more than chance would make it.
  const more = (count, other) => count > other && count - other >= 2 * Math.sqrt(count + other);

  // ---- what is looked at ----------------------------------------------------------------------------------------
  // The worst first, as the verdict has them.
  const urls = () => {
    const judged = ((summary.verdict || {}).targets || []).map((one) => one.target), place = (url) => (judged.includes(url) ? judged.indexOf(url) : judged.length);
    return Object.keys(summary.targets || {}).sort((a, b) => place(a) - place(b));
  };
  const nameOf = (url) => ((summary.asked || {}).names || {})[url];
  const named = (url) => (nameOf(url) ? [h("b", {}, shown(nameOf(url))), " ", wire(url)] : wire(url));
  const targetUrl = () => (urls().includes(view.target) ? view.target : urls()[0]);
  const target = () => (summary.targets || {})[targetUrl()];
  const rowsOf = (block) => (Array.isArray(block) ? block : (block && (block.rows || block.list)) || []);
  const at = (map, url) => (map || {})[url];

  // ---- the first screen -----------------------------------------------------------------------------------------
  const head = () => {
    const began = summary.started ? new Date(summary.started) : null;
    const when = began && !isNaN(began) ? began.toISOString().replace("T", " ").slice(0, 16) + " UTC" : "";
    const names = knownRoutes(), verdict = summary.verdict || { word: "", severity: "odd", sentences: [] };
    return [
      h("p", { class: "run" }, h("b", {}, "shadowtap " + (summary.command || "")), h("span", {}, when),
        h("span", {}, length(summary.duration_s || 0) + (live ? " so far" : "")), urls().map((url) => h("span", {}, "→ ", named(url)))),
      h("div", { class: "verdict " + verdict.severity },
        h("h1", {}, words(verdict.word).toUpperCase()),
        h("ul", {}, verdict.sentences.map((one) => h("li", {}, one.route && names.has(one.route) ? h("a", { href: linkTo(one.route), onclick: () => { view.target = one.target || view.target; setTimeout(follow); } }, shown(one.text)) : shown(one.text)))),
        verdict.more ? h("p", { class: "soft small" }, `${counted(verdict.more, "further finding")} below.`) : null),
      chooser(), figures(), remarks(),
    ];
  };

  const chooser = () => urls().length < 2 ? null : h("nav", { class: "targets", "aria-label": "Target" },
    urls().map((url) => h("button", { type: "button", "data-key": "target " + url, "aria-pressed": String(url === targetUrl()), onclick: () => { view.target = url; view.shown = STEP; draw(); } }, named(url))));

  const figures = () => {
    const t = target();
    const tiles = [];
    const tile = (name, value, note, tone) => tiles.push(h("div", {}, h("dt", {}, name), h("dd", { class: tone || null }, value), h("dd", {}, note || "\u00a0")));
    if (!t) {
      tile("Requests seen", number(summary.requests.seen));
    } else {
      const d = t.differences || {}, failed = sum(t.ended.failed);
      const differing = Math.max(d.any || 0, d.status || 0, d.headers || 0, d.body || 0);
      tile("Same responses", d.compared ? percent(Math.max(0, d.compared - differing) / d.compared) : "–",
        d.compared ? `${counted(differing, "response")} of ${number(d.compared)} differ${differing === 1 ? "s" : ""}` : "nothing could be compared", d.compared && !differing ? "good" : null);
      tile("No response", number(failed), `of ${counted(t.ended.sent + failed, "request")} sent`, failed ? "bad" : null);
      const [p, r] = pair(t), slow = isJudged(t) ? slower(p, r) : null, told = slow || known(p, r);
      tile(`${told ? told.name : "p50"}, at the target`, told ? duration(told.after) : has(r) ? duration(r.p50) : "–",
        told ? `${times(told.after / Math.max(1, told.before))} production’s ${duration(told.before)}` : has(p) && has(r) ? "too few requests to judge speed" : "", slow ? "bad" : null);
      const five = sumClass(t.statuses, "5"), mine = sumClass(summary.production.statuses, "5");
      tile("5xx responses", number(five), `production: ${number(mine)}`, more(five, mine) ? "bad" : null);
    }
    const lost = losses();
    const unknown = lossUnknown();
    tile("Lost", unknown.length ? (lost ? `at least ${number(lost)}` : "not known") : number(lost), unknown.length ? `not known: ${unknown.join("; ")}` : lost ? "frames dropped, gaps, sheds" : "no frame dropped, no gap, nothing shed", lost || unknown.length ? "bad" : null);
    return h("dl", { class: "figures" }, tiles);
  };
  // Latencies of the same requests on both sides, as far as that is known.
  const pair = (t) => t.paired_latency_us ? [t.paired_latency_us.production, t.paired_latency_us.service] : [summary.production.latency_us, t.latency_us.service];
  const sumClass = (statuses, first) => Object.entries(statuses || {}).reduce((all, [status, n]) => all + (status[0] === first ? n : 0), 0);
  // Nobody misses what the run did not come to, or what another replayer has.
  const lostOf = (shed) => sum(shed) - ((shed || {}).run_ended || 0) - ((shed || {}).moved || 0);
  const losses = () => {
    const f = summary.frames || {}, tcp = summary.tcp || {};
    const sums = summary.fleet && summary.fleet.sums;
    return (f.kernel_dropped || 0) + (f.interface_dropped || 0) + (tcp.gaps || 0) + ((sums && sums.expired) || 0) + lostOf(summary.requests.ended.shed)
      + rowsOf(sums && sums.nodes).reduce((all, node) => all + (node.lost || 0), 0)
      + Object.values(summary.targets || {}).reduce((all, t) => all + lostOf(t.ended.shed), 0);
  };
  // Why it is not known what was lost.
  const lossUnknown = () => {
    const sums = summary.fleet && summary.fleet.sums, off = (sums && sums.unaccounted) || 0;
    const untold = rowsOf(sums && sums.nodes).filter((one) => typeof one.seen !== "number");
    return [...untold.map((one) => `node ${one.node} (${one.host}) ${one.ended || one.gone ? "did not say" : "has not said yet"} what it saw`),
      ...(off > 0 ? [`${counted(off, "outcome")} ${off === 1 ? "is" : "are"} in no summary`] : [])];
  };
  const remarks = () => {
    const rows = [];
    for (const gate of summary.gates || []) {
      const why = gate.reason || `${+gate.value.toPrecision(4)} over ${counted(gate.samples, "sample")}`;
      rows.push(h("li", { class: gate.held ? "good" : "bad" }, h("span", { class: "mark" }, gate.held ? "✓ held" : "✗ failed"), h("span", {}, h("code", {}, shown(gate.gate)), " · ", shown(why))));
    }
    for (const text of summary.warnings || []) rows.push(h("li", {}, h("span", { class: "mark odd" }, "!"), h("span", {}, shown(text))));
    return rows.length ? h("ul", { class: "remarks" }, rows) : null;
  };

  // ---- the ledger -----------------------------------------------------------------------------------------------
  // Where nothing is sent: what was lost on the way to the recording is not in it.
  const kept = (count, whole, less) => {
    const rec = summary.recording, got = rec && rec.requests != null ? Math.min(rec.requests, count) : count;
    const known = rec && (rec.requests != null || !Object.keys(rec.lost || {}).length);
    if (got === count) { whole(count, known ? "recorded" : "kept", "production"); return; }
    whole(count, "to be recorded", "production"); less(count - got, "lost on the way to the recording", "bad"); whole(got, "recorded", "production");
  };
  const ledger = () => {
    const r = summary.requests, e = r.ended, t = target(), rows = [];
    if (!r.seen) return null;
    let left = r.seen;
    const bar = (from, n, tone) => {
      const x = (100 * from) / r.seen, w = Math.max(0.35, (100 * n) / r.seen);
      return h("td", { class: "bar", "aria-hidden": "true" }, h("div", { class: "track" }, s("svg", { viewBox: "0 0 100 16", preserveAspectRatio: "none" }, s("rect", { class: "b " + tone, x: Math.min(x, 100 - w), y: 3, width: w, height: 10 }))));
    };
    const row = (kind, sign, n, what, cells) => rows.push(h("tr", { class: kind }, h("td", { class: "sign" }, sign), h("td", { class: "num" }, number(n)), h("td", {}, what), cells));
    const whole = (n, what, tone) => { left = n; row("sum", rows.length ? "=" : "", n, what, bar(0, n, tone)); };
    const less = (n, what, tone) => { if (n > 0) { left -= n; row("part" + (tone === "bad" ? " bad" : ""), "−", n, what, bar(left, n, tone || "part")); } };
    const each = (counts, what, tone) => { for (const [key, n] of Object.entries(counts || {})) less(n, [what, ": ", shown(words(key))], tone); };
    const shed = ({ run_ended: notReached = 0, ...counts } = {}) => { each(counts, "shed", "bad"); less(notReached, "not sent: the run ended first"); };
    // Where the share was changed on the way, no one share goes for all.
    const turn = (summary.steps || []).find((step) => !["guard", "dependency"].includes(step.what));
    const through = summary.sample && summary.sample.kernel;
    const most = summary.merged || (turn && turn.from < through - 1e-6) ? "at most " : "";
    whole(r.seen, ["requests seen", typeof through === "number" ? h("span", { class: "soft small" }, ` the kernel let ${most}${percent(through)} of the connections through`) : null], "ink");
    const asked = summary.sample && summary.sample.asked;
    // Damaged requests, and those that a filter ended, never came to the sample.
    less(e.malformed, "malformed: not replayed"); each(e.incomplete, "incomplete in the capture"); each(e.filtered, "kept back by filter");
    const { decided, requests: took } = summary.sample || {};
    less(e.sampled_out, [`not in the sample${asked && !turn ? " of " + percent(asked) : ""}`, decided && typeof took === "number" ? h("span", { class: "soft small" }, ` took ${percent(took)} of the ${counted(decided, "request")} that reached it`) : null]);
    less(e.rate_limited, "kept back by the rate limit"); shed(e.shed);
    less(r.in_flight, live ? "on their way" : "not yet decided when the run ended");
    if (!t) { kept(e.kept, whole, less); return section("ledger", "What became of every request", "Each request that was seen has one end.", table(rows)); }
    less(e.kept, "kept");
    if (urls().length > 1) { whole(r.offered, "offered to at least one target", "production"); less(r.offered - t.offered, "for other targets only"); }
    whole(t.offered, urls().length > 1 ? "offered to this target" : "offered to the target", "production");
    const d = t.ended;
    less(d.sampled_out, "not in the target’s sample"); each(d.filtered, "kept back by the target’s filter"); less(d.rate_limited, "kept back by the target’s rate limit");
    const paused = t.paused || 0;
    less(d.guard_held - paused, "held back by the guard", "held"); less(paused, "held back during a pause", "held"); shed(d.shed); each(d.failed, "failed", "bad");
    less(t.in_flight, live ? "waiting or in flight" : "still in flight when the run ended");
    whole(d.sent, "answered", "shadow");
    const f = summary.frames || {}, dropped = (f.kernel_dropped || 0) + (f.interface_dropped || 0), gaps = (summary.tcp || {}).gaps || 0;
    const frames = f.received ? h("p", { class: "small soft" }, `${counted(f.received, "frame")} read, ${number(sum(f.skipped))} of them skipped; `,
      h("span", { class: dropped ? "bad" : null }, `${number(dropped)} dropped before they could be read`), "; ", h("span", { class: gaps ? "bad" : null }, `${counted(gaps, "gap")} in TCP streams`), ".") : null;
    return section("ledger", "What became of every request", "Each request that was seen has one end, and the sums add up. Parts that are lost are marked.", table(rows), failures(t), unasked(t.desynchronised), frames);
    function failures(t) {
      const all = t.failures || [];
      return all.length ? h("div", {}, h("h3", {}, "Why deliveries failed"), h("ul", { class: "failures" }, all.slice(0, 16).map((one) => h("li", { class: "bad" }, `${words(one.kind)}: `, shown(one.reason), ` (${number(one.count)}; first ${one.first})`)), all.length > 16 ? h("li", {}, `and ${counted(all.length - 16, "more reason")}`) : null)) : null;
    }
    function unasked(found) {
      if (!found) return null;
      const parts = [`responses came without a request on ${counted(found.connections, "connection")}`, found.before_a_request ? `on ${number(found.before_a_request)} of them before any was sent` : null,
        `${counted(found.deliveries, "response")} failed for it and not compared${found.taken_back ? `, ${number(found.taken_back)} of them taken back` : ""}`,
        found.earlier > (found.taken_back || 0) ? `${counted(found.earlier - (found.taken_back || 0), "response")} before them stand: too long ago to be taken back` : null, found.first ? `first ${found.first}` : null];
      return h("p", { class: "bad" }, "Desynchronised: " + parts.filter(Boolean).join("; ") + ".");
    }
    function table(rows) { return h("table", { class: "ledger" }, h("caption", { class: "hidden" }, "The ledger of requests"), h("tbody", {}, rows)); }
  };

  // ---- the fleet ------------------------------------------------------------------------------------------------
  const fleet = () => {
    const sums = summary.fleet && summary.fleet.sums;
    if (!sums) return null;
    const soft = (text) => h("span", { class: "soft small" }, text);
    const nodes = rowsOf(sums.nodes), replayers = rowsOf(sums.replayers), missing = replayers.filter((one) => typeof one.outcomes !== "number");
    const row = (name, what, parts, tone) => h("tr", { class: tone || null }, h("th", { scope: "row" }, name), h("td", { class: "num" }, what), parts.map((part) => h("td", {}, part)));
    const untold = (one) => one.gone ? "killed or cut off before it said what it saw" : one.ended ? "it did not say what it saw" : "it has not said yet what it saw";
    const end = (one) => (one.lost ? `; ${number(one.lost)} lost there (frames, gaps, requests)` : "") + (one.ended ? "" : one.gone ? `, last heard of ${clock(one.heard)}` : "; it did not say that it ended");
    const node = (one) => {
      const isTold = typeof one.seen === "number";
      const what = isTold ? `= ${number(one.ended_there)} ended there + ${number(one.published)} published` : `${untold(one)}; ${number(one.published)} published`;
      return row([`node ${one.node} `, wire(one.host)], isTold ? number(one.seen) : "not known", [what, soft(`from ${clock(one.began)}${end(one)}`)], one.lost ? "bad" : one.ended && isTold ? null : "odd");
    };
    const all = nodes.length > 1 && typeof sums.seen === "number" ? row("all nodes", number(sums.seen), [`= ${number(sums.ended_there)} ended there + ${number(sums.published)} published`, soft("seen on nodes")]) : null;
    const more = [sums.late ? `${number(sums.late)} of those that wait came after this run was over` : null, sums.uncertain ? `${number(sums.uncertain)} of those that ended are uncertain` : null, sums.moved ? `${counted(sums.moved, "partition")} went from a replayer that was lost` : null, sums.expired ? "what expired was never replayed: it is lost" : null].filter(Boolean).join("; ");
    const off = sums.unaccounted || 0, again = sums.again ? `${number(sums.again)} more went out at a replayer that had lost them by then` : "";
    return section("fleet", "The fleet", "Each request that a node saw has one end. The rest of this page is what the replayers’ summaries add up to.",
      h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Sums of the fleet" }, h("table", { class: "fleet" }, h("tbody", {}, nodes.map(node), all,
        row(["run ", wire(sums.run)], number(sums.published), [`published = ${number(sums.ended)} ended + ${number(sums.waiting)} waiting + ${number(sums.expired)} expired`, soft(more)], sums.expired ? "bad" : null),
        row("outcomes", number(sums.ended), [`ended = ${number(sums.outcomes)} in the summaries of replayers ${off < 0 ? "−" : "+"} ${number(Math.abs(off))} ${off < 0 ? "that the store does not know of" : "in none"}`, soft(again)], off || again ? "odd" : null)))),
      h("p", { class: "small" }, missing.length ? h("span", { class: "odd" }, `${number(missing.length)} of ${counted(replayers.length, "replayer")} left no summary, lost or still at work: what became of their requests is not on this page. `) : null,
        replayers.map((one, at) => [at ? ", " : "", wire(one.name), typeof one.outcomes === "number" ? `: ${counted(one.outcomes, "request")}` : h("span", { class: "odd" }, ": no summary")])));
  };

  const section = (id, title, lead, ...children) => h("section", { id, "aria-labelledby": id + "-title" }, h("h2", { id: id + "-title" }, title), lead ? h("p", { class: "lead small" }, lead) : null, children);

  // ---- statuses -------------------------------------------------------------------------------------------------
  const matrix = () => {
    const t = target();
    if (!t || !sum(Object.fromEntries(Object.entries(t.matrix || {}).map(([k, row]) => [k, sum(row)])))) return null;
    return section("statuses", "Status by status", ["What ", h("b", { class: "production" }, "production"), " answered, down; what ", h("b", { class: "shadow" }, "the shadow"), " answered to the same requests, across."], h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Status matrix" }, matrixTable(t.matrix, "matrix")));
  };
  const matrixTable = (cells) => {
    const order = (a, b) => (isNaN(a) - isNaN(b)) || (a < b ? -1 : 1);
    const rows = Object.keys(cells).sort(order);
    const columns = [...new Set(rows.flatMap((row) => Object.keys(cells[row])))].sort(order);
    return h("table", { class: "matrix" },
      h("thead", {}, h("tr", {}, h("th", {}, h("span", { class: "hidden" }, "production \\ shadow")), columns.map((c) => h("th", { scope: "col" }, words(c))), rows.length > 1 ? h("th", { scope: "col", class: "sum" }, "all") : null)),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, words(row)), columns.map((c) => {
        const n = cells[row][c] || 0;
        return h("td", { class: !n ? "none" : row === c ? "same" : row === "none" ? null : "differs" }, n ? number(n) : "·");
      }), rows.length > 1 ? h("td", { class: "sum" }, number(sum(cells[row]))) : null))));
  };

  // ---- carried values -------------------------------------------------------------------------------------------
  const KNOWN = { jwt: "signed here", time: "moved to now" };
  const known_values = (c) => c.learnt + (c.seeded || 0) + (c.logins || 0);
  // What is not there for any rule has no row; the first two are always there.
  const CARRIED = [
    ["values known", known_values, ""], ["requests with one of them", (c) => c.carried + (c.made || 0), ""],
    ["requests that waited for one", (c) => c.waited], ["requests that waited in vain", (c) => c.gave_up, "bad"],
    ["requests with an unknown value", (c) => c.unknown, "odd"], ["unknown values", (c) => c.unknown_values], ["values that the target did not issue", (c) => c.not_issued, "bad"],
    ["requests with the value of another client address", (c) => c.foreign, "odd"], ["values issued again behind one address", (c) => c.reissued, "odd"],
    ["requests whose new value cannot stand in its place", (c) => c.unfit, "bad"], ["requests with no token, or no time, in that place", (c) => c.not_made, "odd"],
    ["logins that failed", (c) => c.failed_logins, "bad"], ["values forgotten for want of room", (c) => c.evicted, "odd"],
  ];
  const carried = () => {
    const t = target(), rules = Object.entries((t && t.carry) || {});
    if (!rules.length) return null;
    const rows = CARRIED.filter(([, of, tone]) => tone === "" || rules.some(([, c]) => of(c)));
    const cell = (of, tone, c) => { const n = of(c) || 0, made = of === known_values && KNOWN[c.kind]; return h("td", { class: "num " + (made ? "soft" : n ? tone || "" : of === known_values ? "odd" : "zero") }, made || number(n)); };
    const wait = t.carry_wait_us;
    return section("carried", "Values carried into later requests", "Sessions and tokens that the target issued stand in the place of production’s. No value is in this report.",
      h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Carried values" }, h("table", { class: "carried" },
        h("thead", {}, h("tr", {}, h("th", {}, h("span", { class: "hidden" }, "Figure")), rules.map(([name]) => h("th", { scope: "col", class: "num" }, wire(name))))),
        h("tbody", {}, rows.map(([name, of, tone]) => h("tr", {}, h("th", { scope: "row" }, name), rules.map(([, c]) => cell(of, tone, c))))))),
      has(wait) ? h("p", { class: "soft small" }, `Requests waited for their value p50 ${duration(wait.p50)}, p95 ${duration(wait.p95)}, ${duration(wait.max)} at most. It is in no latency and no lag.`) : null);
  };

  // ---- what HAProxy would have done -----------------------------------------------------------------------------
  const TIMES = 20;
  const observed = () => {
    const all = summary.observe, server = all && (all.targets || {})[targetUrl()];
    if (!server) return null;
    const downs = rowsOf(server.downs), slow = rowsOf(server.slow);
    const clock = (at) => String(at || "").slice(11, 19);
    const rows = (list, names, cells) => h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": names[0] }, h("table", {}, h("thead", {}, h("tr", {}, names.map((name, at) => h("th", { scope: "col", class: at ? "num" : null }, name)))), h("tbody", {}, list.slice(0, TIMES).map((one) => h("tr", {}, cells(one).map((cell, at) => h("td", { class: at ? "num" : null }, cell)))))));
    const further = (list, more) => { const n = Math.max(0, list.length - TIMES) + (more || 0); return n ? h("p", { class: "soft small" }, `${number(n)} more.`) : null; };
    return section("observed", "What HAProxy would have done", ["With the target as its server, ", h("code", {}, shown("observe layer7, " + all.rule)), "."],
      downs.length ? h("p", {}, h("b", { class: "bad" }, `Marked down ${counted(downs.length + (server.more_downs || 0), "time")}`), `: ${number(server.sent_back)} of ${counted(server.requests, "request")} would have gone back to the other servers.`)
        : h("p", {}, `Never marked down in ${counted(server.requests, "request")}.`),
      downs.length ? rows(downs, ["Down at (UTC)", "For", "Requests sent back"], (d) => [clock(d.at), duration((d.lasted_s || 0) * 1e6) + (d.ended ? "" : ", to the end"), number(d.requests)]) : null, further(downs, server.more_downs),
      slow.length ? h("p", {}, `Unseen by layer7, since the status was well: ${counted(slow.length + (server.more_slow || 0), "window")} too slow.`) : null,
      slow.length ? rows(slow, ["Window at (UTC)", "Latency", "Responses"], (w) => [clock(w.at), duration(w.latency_us), number(w.responses)]) : null, further(slow, server.more_slow));
  };

  // ---- latency --------------------------------------------------------------------------------------------------
  const SIDES = [["production", "production", "last byte of the request to first of the response, on the wire"], ["service", "service", "the same, at the target"], ["response", "shadow", "from when it was due: what users would feel"]];
  const latency = () => {
    const t = target();
    // As in the text: of several targets each is held against production's figures for the requests that it was offered.
    const paired = t && t.paired_latency_us, several = urls().length > 1;
    const all = { production: several && paired ? paired.production : summary.production.latency_us, service: t && t.latency_us.service, response: t && t.latency_us.response };
    if (!SIDES.some(([side]) => has(all[side]))) return null;
    const curves = summary.curves || {}, mine = at(curves.targets, targetUrl()) || {};
    const lines = { production: curves.production, service: mine.service, response: mine.response };
    return section("latency", "Latency", null, h("div", { class: "pair" },
      h("figure", {}, legend("By percentile", SIDES.filter(([side]) => (lines[side] || []).length).map(([side, tone]) => [side, tone])), curveChart(lines)),
      h("div", {}, latencyTable(all, paired), ofPairs(all, paired), timedOut(t), h("dl", { class: "small soft" }, SIDES.filter(([side]) => has(all[side])).map(([side, tone, what]) => h("div", {}, h("dt", { class: "hidden" }, side), h("dd", {}, h("b", { class: tone === "shadow" ? "shadow" : tone }, side), ": " + what)))))));
  };
  const ofPairs = (all, paired) => {
    if (!has((paired || {}).production) || (paired.production.count === all.production.count && paired.response.count === all.response.count)) return null;
    return h("p", { class: "small" }, `The ratio is of the ${counted(paired.response.count, "request")} whose latency is known on both sides.`);
  };
  const timedOut = (t) => {
    const failed = ((t || {}).ended || {}).failed || {}, late = (failed.timeout || 0) + (failed.connect_timeout || 0);
    return late && late * 100 >= t.latency_us.service.count ? h("p", { class: "small" }, `${number(late)} of these timed out, and count as long as they were waited for.`) : null;
  };
  // A ratio is of the requests whose latency is known on both sides.
  const latencyTable = (all, paired, ratioOf = has((paired || {}).production) ? [paired.production, paired.response] : [all.production, all.response]) => h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}), SIDES.map(([side, tone]) => has(all[side]) ? h("th", { class: "num " + tone, scope: "col" }, side) : null), has(all.production) && has(all.response) ? h("th", { class: "num", scope: "col" }, "ratio") : null)),
    h("tbody", {}, ["p50", "p90", "p95", "p99", "p99_9", "max", "count"].filter((key) => key !== "p95" || SIDES.some(([side]) => has(all[side]) && all[side].p95)).map((key) => h("tr", {}, h("th", { scope: "row" }, key === "count" ? "samples" : key.replace("_", ".")),
      SIDES.map(([side]) => has(all[side]) ? h("td", { class: "num" }, key === "count" ? number(all[side].count) : duration(all[side][key])) : null),
      has(all.production) && has(all.response) ? h("td", { class: "num soft" }, key === "count" ? "" : times(ratioOf[1][key] / Math.max(1, ratioOf[0][key]))) : null)))));

  const legend = (title, keys) => h("div", { class: "legend" }, h("h3", {}, title), keys.map(([name, tone]) => h("span", { class: "key" }, s("svg", { viewBox: "0 0 18 8", "aria-hidden": "true" }, s("path", { class: "l " + tone, d: "M1 4H17" })), name)));

  const widthOf = () => Math.max(300, Math.min(1180, (root && root.clientWidth) || 900) - 2 * 16);
  const PERCENTS = [[0, "0"], [0.5, "50"], [0.9, "90"], [0.95, "95"], [0.99, "99"], [0.999, "99.9"], [0.9999, "99.99"], [0.99999, "99.999"], [0.999999, "99.9999"]];
  const nines = (q, most) => Math.min(most, q >= 1 ? most : -Math.log10(1 - q));
  const curveChart = (lines) => {
    const wide = window.innerWidth > 760, width = Math.max(280, Math.round(widthOf() * (wide ? 0.58 : 1))), height = 270, left = 54, bottom = 36, right = 10, top = 8;
    const all = Object.values(lines).filter((line) => line && line.length);
    if (!all.length) return h("p", { class: "soft small" }, "No curves were kept of this run.");
    const most = Math.max(1, ...all.flatMap((line) => line.filter(([q]) => q < 1).map(([q]) => nines(q, 9)))) * 1.04;
    const us = all.flatMap((line) => line.map(([, us]) => Math.max(1, us)));
    const [low, high] = [Math.log10(Math.min(...us)), Math.log10(Math.max(...us))].map((v, at) => at ? v + 0.06 : v - 0.06);
    const x = (q) => left + (nines(q, most) / most) * (width - left - right);
    const y = (v) => top + (1 - (Math.log10(Math.max(1, v)) - low) / Math.max(0.2, high - low)) * (height - top - bottom);
    const ticks = [];
    const steps = high - low > 2.2 ? [1] : high - low > 0.9 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
    for (let decade = Math.floor(low); decade <= high; decade += 1) for (const step of steps) { const v = step * 10 ** decade, l = Math.log10(v); if (l >= low && l <= high) ticks.push(v); }
    const path = (line) => line.map(([q, v], at) => (at ? "L" : "M") + x(q).toFixed(1) + " " + y(v).toFixed(1)).join("");
    return s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Latency by percentile; the table beside it has the figures" },
      ticks.map((v) => [s("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }), s("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, duration(v).replace(/\.0+(?=\D)/, ""))]),
      PERCENTS.filter(([q]) => nines(q, 99) <= most).map(([q, name]) => [s("line", { class: "grid", x1: x(q), x2: x(q), y1: top, y2: height - bottom }), s("text", { x: x(q), y: height - bottom + 16, "text-anchor": q ? "middle" : "start" }, name)]),
      s("text", { x: width - right, y: height - 3, "text-anchor": "end" }, "per cent of requests are at least as fast"),
      ["service", "production", "response"].filter((side) => (lines[side] || []).length).map((side) => s("path", { class: "l " + (side === "response" ? "shadow" : side), d: path(lines[side]) })));
  };

  // ---- over time ------------------------------------------------------------------------------------------------
  // The last second is no point of a curve before it is over: its counts are too low.
  const whole = (line) => {
    const points = (line || {}).points || [];
    const cut = points.length > 1 && line.last_s !== undefined && line.last_s < 0.95 * (line.width_s || 1);
    return { ...line, points: cut ? points.slice(0, -1) : points };
  };
  const overTime = () => {
    const line = whole(summary.timeline), points = line.points;
    if (!points.length) return null;
    const index = Math.max(0, (line.targets || []).indexOf(targetUrl())), width_s = line.width_s || 1;
    const mine = (p) => (p.targets || [])[index] || {}, prod = (p) => p.production || {};
    const rate = (n) => (n || 0) / width_s;
    // Summaries from before have no p95 here.
    const tail = points.some((p) => prod(p).p95_us || mine(p).p95_us) ? "p95" : "p99";
    const gap = (v) => (v === undefined || v === null || v === 0 ? null : v);
    const panels = [
      ["Requests a second", number3, [["seen", "production", (p) => rate(p.seen), true], ["answered by the shadow", "shadow", (p) => rate(mine(p).sent)]]],
      ["Errors a second", number3, [["production 5xx", "production", (p) => rate(prod(p)["5xx"])], ["shadow 5xx", "shadow", (p) => rate(mine(p)["5xx"])], ["no response", "bad", (p) => rate(mine(p).failed)], ["held back", "service", (p) => rate(mine(p).held), false, true]]],
      ["Latency", duration, [["production p50", "production thin", (p) => gap(prod(p).p50_us)], [`production ${tail}`, "production", (p) => gap(prod(p)[tail + "_us"])], ["shadow p50", "shadow thin", (p) => gap(mine(p).p50_us)], [`shadow ${tail}`, "shadow", (p) => gap(mine(p)[tail + "_us"])], ["behind schedule", "service", (p) => gap(mine(p).lag_us), false, true]], true],
      ["Connections", number3, [["to the shadow", "shadow", (p) => mine(p).connections], ["production", "production", (p) => p.connections, false, true], ["in flight at the shadow", "service", (p) => mine(p).in_flight, false, true]], false, true],
      ["Share asked", percent, [["share", "shadow", (p) => p.share]], false, true],
      ["Lost a second", number3, [["frames dropped, gaps, sheds", "bad", (p) => rate((p.lost || 0) + (mine(p).shed || 0)), true]], false, true],
    ];
    const list = rowsOf(summary.steps).filter((step) => !step.target || step.target === targetUrl());
    const readout = h("p", { class: "readout", "aria-live": "off" }, "Point at the pictures to read a moment.");
    const drawn = panels.map(([title, unit, series, log, optional]) => {
      const known = series.map(([name, tone, value, area, extra]) => ({ name, tone, area, values: points.map(value), extra })).filter((one) => one.values.some((v) => v) || (!one.extra && !optional));
      if (optional && !known.length) return null;
      return { title, unit, known, log };
    }).filter(Boolean);
    const charts = drawn.map((panel, at) => h("figure", { class: "panel" }, legend(panel.title, panel.known.map((one) => [one.name, one.tone])), timeChart(panel, line, list, at === 0, at === drawn.length - 1, (index) => read(readout, drawn, line, index))));
    return section("time", "Over time", width_s > 1 ? `Each point is ${length(width_s)} of the run.` : null, charts, readout, stepList(list, line));
  };
  const number3 = (v) => (v === 0 ? "0" : v < 10 ? String(+v.toPrecision(2)) : v < 10000 ? number(v) : v < 1e6 ? three(v / 1e3) + "k" : three(v / 1e6) + "M");
  const secondOf = (step, line) => (new Date(step.at) - new Date(line.start)) / 1000;
  const stepText = (step) => {
    const value = (v) => (typeof v === "number" ? percent(v) : v === null || v === undefined ? "" : String(v));
    const from = value(step.from), to = value(step.to);
    return `${step.what || ""}: ${from && to ? from + " → " + to : to || from}`;
  };
  const stepList = (list, line) => !list.length ? null : h("details", { open: list.length <= 12 ? true : null, "data-key": "steps" }, h("summary", {}, counted(list.length, "change"), " by ramp, guard, dependency or hand"),
    h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, list.slice(0, 500).map((step) => h("tr", {}, h("td", { class: "num" }, clockLength(Math.max(0, secondOf(step, line)))), h("td", { class: step.what === "guard" ? "bad" : null }, shown(stepText(step))), h("td", {}, shown(step.reason || ""))))))));

  const niceMax = (v) => { const p = 10 ** Math.floor(Math.log10(v || 1)); return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((m) => m * p).find((m) => m >= v) || v; };
  const timeTicks = (seconds) => { const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400].find((n) => seconds / n <= 8) || 86400 * Math.ceil(seconds / 8 / 86400); const all = []; for (let t = 0; t <= seconds; t += step) all.push(t); return all; };
  const timeChart = (panel, line, steps, first, last, onread) => {
    const points = line.points, count = points.length, width_s = line.width_s || 1;
    const width = widthOf(), left = 54, right = 10, top = first && steps.length ? 24 : 8, bottom = last ? 22 : 6, height = 96 + top + bottom;
    const values = panel.known.flatMap((one) => one.values).filter((v) => v !== null && v !== undefined);
    const seconds = Math.max(1, count * width_s);
    const x = (second) => left + Math.min(1, Math.max(0, second / seconds)) * (width - left - right);
    const log = panel.log && values.length > 0;
    const high = log ? Math.log10(Math.max(10, ...values)) + 0.05 : niceMax(Math.max(panel.unit === percent ? 1 : 0, ...values) || 1);
    const low = log ? Math.log10(Math.max(1, Math.min(...values))) - 0.05 : 0;
    const y = (v) => top + (1 - ((log ? Math.log10(Math.max(1, v)) : v) - low) / Math.max(log ? 0.3 : 1e-9, high - low)) * (height - top - bottom);
    const ticks = [];
    if (log) for (let d = Math.ceil(low); d <= high; d += 1) ticks.push(10 ** d);
    if (log && ticks.length < 2) { ticks.length = 0; for (let d = Math.floor(low); d <= high; d += 1) for (const m of [1, 2, 5]) { const l = Math.log10(m) + d; if (l >= low && l <= high) ticks.push(m * 10 ** d); } }
    if (!log) ticks.push(0, high / 2, high);
    const middle = (index) => (index + 0.5) * width_s;
    const none = (v) => v === null || v === undefined;
    const isAlone = (values, index) => !none(values[index]) && none(values[index - 1]) && none(values[index + 1]);
    const path = (values, close) => {
      let d = "", open = null;
      values.forEach((v, index) => {
        if (v === null || v === undefined) { if (close && open !== null) d += `V${y(low)}H${open}Z`; open = null; return; }
        if (open === null) { open = x(middle(index)).toFixed(1); d += `M${open} ${y(v).toFixed(1)}`; } else d += `L${x(middle(index)).toFixed(1)} ${y(v).toFixed(1)}`;
        if (close && index === values.length - 1) d += `V${y(low)}H${open}Z`;
      });
      return d;
    };
    const cross = s("line", { class: "cross", y1: top, y2: height - bottom, visibility: "hidden", "data-cross": "" });
    const labels = [];
    if (first) {
      let used = -99;
      steps.forEach((step) => { const px = x(secondOf(step, line)), text = typeof step.to === "number" ? percent(step.to) : String(step.to ?? ""); const wide = text.length * 6.6 + 8; if (px - used > wide && text) { used = px; labels.push(s("text", { class: "flag" + (step.what === "guard" ? " guard" : ""), x: Math.min(px + 3, width - right - wide + 8), y: 12 }, text)); } });
    }
    const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${panel.title}: ${panel.known.map((one) => one.name).join(", ")}, over ${length(seconds)}` },
      ticks.map((v) => [s("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }), s("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, panel.unit(v).replace(/\.0+(?=\D)/, ""))]),
      timeTicks(seconds).map((t) => [s("line", { class: "grid", x1: x(t), x2: x(t), y1: top, y2: height - bottom }), last ? s("text", { x: x(t), y: height - bottom + 15, "text-anchor": t ? "middle" : "start" }, clockLength(t)) : null]),
      steps.slice(0, 300).map((step) => s("line", { class: "step" + (step.what === "guard" ? " guard" : ""), x1: x(secondOf(step, line)), x2: x(secondOf(step, line)), y1: top - (first ? 8 : 0), y2: height - bottom })),
      panel.known.filter((one) => one.area).map((one) => s("path", { class: "a " + one.tone, d: path(one.values.map((v) => v || 0), true) })),
      panel.known.map((one) => s("path", { class: "l " + one.tone, d: path(one.values) })),
      panel.known.map((one) => one.values.map((v, index) => isAlone(one.values, index) ? s("circle", { class: "dot " + one.tone, cx: x(middle(index)), cy: y(v), r: 2.5 }) : null)), cross, labels);
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect(), px = ((event.clientX - box.left) / box.width) * width;
      const index = Math.min(count - 1, Math.max(0, Math.floor(((px - left) / (width - left - right)) * count)));
      for (const one of root.querySelectorAll("[data-cross]")) { one.setAttribute("x1", x(middle(index))); one.setAttribute("x2", x(middle(index))); one.setAttribute("visibility", "visible"); }
      onread(index);
    });
    return svg;
  };
  const read = (readout, drawn, line, index) => {
    const start = new Date(line.start), when = isNaN(start) ? "" : new Date(+start + index * (line.width_s || 1) * 1000).toISOString().slice(11, 19) + " UTC";
    readout.replaceChildren(h("b", {}, clockLength(index * (line.width_s || 1))), ` ${when} · `,
      ...drawn.flatMap((panel) => panel.known.map((one) => [one, panel.unit])).filter(([one]) => one.values[index] !== null && one.values[index] !== undefined).flatMap(([one, unit]) => [`${one.name} `, h("b", {}, unit(one.values[index])), "  · "]));
  };

  // ---- routes ---------------------------------------------------------------------------------------------------
  // What matters: responses that differ, none at all, slower; weighed by how many requests meet it.
  const judge = (route) => {
    const t = at(route.targets, targetUrl()) || {}, d = t.differences || {}, latency = t.latency_us || {}, pairs = t.paired_latency_us || {}, p = pairs.production || (route.production || {}).latency_us || {}, r = pairs.service || latency.service || {};
    const differing = Math.max(d.any || 0, d.status || 0, d.headers || 0, d.body || 0);
    const failed = t.failed || 0, sent = t.sent || 0, slow = isJudged(target()) ? slower(p, r) : null, told = slow || known(p, r);
    const five = (t.statuses || {})["5xx"] || 0, mine = ((route.production || {}).statuses || {})["5xx"] || 0;
    const lost = slow ? 1.5 * r.count * Math.min(4, Math.max(0.5, Math.log2(slow.after / Math.max(1, slow.before)))) : 0;
    return {
      route, t, differing, compared: d.compared || 0, failed, slow, told, times: told ? told.after / Math.max(1, told.before) : null, five, mine, p, r,
      us: told ? told.after : r.p50 || 0, requests: sent + failed, seen: route.requests || 0, matters: 10 * (differing + failed) + 5 * Math.max(0, five - mine) + lost,
    };
  };
  const linkTo = (name) => "#route=" + encodeURIComponent(name);
  const knownRoutes = () => new Set(rowsOf(summary.routes).map((route) => route.route));
  const COLUMNS = [["route", "Route", (j) => j.route.route], ["requests", "Requests", (j) => j.requests], ["differing", "Differ", (j) => (j.compared ? j.differing : -1)], ["failed", "No response", (j) => (j.requests ? j.failed : -1)], ["five", "5xx", (j) => j.five], ["speed", "Latency", (j) => j.us], ["slower", "× production", (j) => j.times || 0]];
  const routes = () => {
    const rows = rowsOf(summary.routes);
    if (!rows.length) return null;
    const search = h("input", { type: "search", placeholder: "Filter routes, such as /v2/ or POST", "aria-label": "Filter routes", "data-key": "filter", value: view.filter || null, oninput: (event) => { view.filter = event.target.value; view.shown = STEP; drawRoutes(); } });
    const only = h("input", { type: "checkbox", "data-key": "only", checked: view.differing || null, onchange: (event) => { view.differing = event.target.checked; view.shown = STEP; drawRoutes(); } });
    const head = h("tr", {}, COLUMNS.map(([key, name]) => h("th", { class: key === "route" ? null : "num", scope: "col", "data-sort": key }, h("button", { type: "button", "data-key": "sort " + key, onclick: () => { view.down = view.sort === key ? !view.down : key !== "route"; view.sort = key; view.shown = STEP; drawRoutes(); } }, name))));
    const matters = h("button", { type: "button", "data-key": "matters", "aria-pressed": "false", onclick: () => { view.sort = "matters"; view.down = true; view.shown = STEP; drawRoutes(); } }, "By what matters");
    routeRows = { body: h("tbody"), count: h("span", { class: "soft small", role: "status" }), more: h("p", { class: "more" }), head, matters, all: rows };
    const node = section("routes", "Routes", "A route is the method and the path, with {id} for what looks like an identifier. Those with differences, without responses, or slower come first; open one for its evidence.",
      h("div", { class: "tools" }, search, h("label", { class: "check" }, only, "only those that differ, fail or are slower"), matters, routeRows.count),
      h("table", { class: "routes" }, h("thead", {}, head), routeRows.body), routeRows.more);
    drawRoutes();
    return node;
  };
  const drawRoutes = () => {
    if (!routeRows) return;
    const wanted = view.filter.trim().toLowerCase();
    const key = (COLUMNS.find(([name]) => name === view.sort) || [0, 0, (j) => j.matters])[2], sign = view.down ? -1 : 1;
    const all = routeRows.all.map(judge).filter((j) => (!wanted || j.route.route.toLowerCase().includes(wanted)) && (!(view.differing || printing) || j.differing || j.failed || j.slow));
    all.sort((a, b) => { const x = key(a), y = key(b); return (x < y ? -sign : x > y ? sign : 0) || b.requests - a.requests || (a.route.route < b.route.route ? -1 : 1); });
    for (const cell of routeRows.head.children) { if (cell.dataset.sort === view.sort) cell.setAttribute("aria-sort", view.down ? "descending" : "ascending"); else cell.removeAttribute("aria-sort"); }
    routeRows.matters.setAttribute("aria-pressed", String(view.sort === "matters"));
    keepFocus(() => routeRows.body.replaceChildren(...all.slice(0, view.shown).flatMap(routeRow)));
    routeRows.count.textContent = all.length === routeRows.all.length ? counted(all.length, "route") : `${number(all.length)} of ${counted(routeRows.all.length, "route")}`;
    const left = all.length - view.shown;
    routeRows.more.replaceChildren(...(left > 0 ? [h("button", { type: "button", "data-key": "more", onclick: () => { view.shown += 4 * STEP; drawRoutes(); } }, `Show ${number(Math.min(left, 4 * STEP))} more`), h("span", { class: "soft small" }, ` ${number(left)} further routes`)] : []));
  };
  const routeRow = (j) => {
    const name = j.route.route, open = view.open.has(name);
    // What was never counted is no zero.
    const count = (n, tone, label, note, known) => !known ? h("td", { class: "num zero", "data-label": label, title: label === "differ" ? "nothing could be compared" : "nothing was sent" }, "–") : h("td", { class: "num " + (n ? tone : "zero"), "data-label": label }, number(n), n && note ? h("span", { class: "soft small" }, " " + note) : null);
    const row = h("tr", { class: open ? "open" : null },
      h("td", { class: "route", id: "route=" + encodeURIComponent(name) }, h("button", { type: "button", "aria-expanded": String(open), "data-key": "route " + name, onclick: () => { if (open) view.open.delete(name); else view.open.add(name); drawRoutes(); } }, wire(name)), " ", h("a", { class: "link", href: linkTo(name), title: "A link to this route", "aria-label": "Link to " + name }, "#")),
      h("td", { class: "num", "data-label": "requests" }, number(j.requests), j.seen > j.requests ? h("span", { class: "soft small" }, ` of ${number(j.seen)} seen`) : null),
      count(j.differing, "bad", "differ", `of ${number(j.compared)}, ${percent(j.differing / j.compared)}`, j.compared), count(j.failed, "bad", "no response", "", j.requests),
      h("td", { class: "num " + (more(j.five, j.mine) ? "bad" : j.five ? "" : "zero"), "data-label": "5xx" }, j.requests ? number(j.five) : "–", j.mine ? h("span", { class: "soft small" }, ` (${number(j.mine)})`) : null),
      h("td", { class: "num", "data-label": "latency" }, j.told ? [h("span", { class: "soft small" }, j.told.name + " "), duration(j.told.after)] : has(j.r) ? [h("span", { class: "soft small" }, "p50 "), duration(j.r.p50)] : "–"),
      h("td", { class: "num " + (j.slow ? "bad" : "soft"), "data-label": "× production" }, j.times ? times(j.times) : "–"));
    return open ? [row, h("tr", { class: "detail" }, h("td", { colspan: COLUMNS.length }, detail(j)))] : [row];
  };
  const kindsOf = (route) => rowsOf(summary.kinds).filter((kind) => kind.route === route && (!kind.target || kind.target === targetUrl())).sort((a, b) => b.count - a.count);
  const detail = (j) => {
    const { t, route } = j, d = t.differences || {}, all = kindsOf(route.route), out = t.differences_noise || {};
    const kinds = all.filter((kind) => kind.count > (kind.noise || 0)), noisy = all.filter((kind) => kind.noise);
    const said = j.compared ? `${number(j.compared)} responses compared: ${number(d.status || 0)} differ in status, ${number(d.headers || 0)} in headers, ${number(d.body || 0)} in body.${out.any ? ` ${number(out.any)} differ in nothing but noise.` : ""}` : `${j.requests ? "No response could be compared." : "Not one request of it was sent."}`;
    return h("div", {}, h("p", { class: "small soft" }, said),
      h("div", { class: "pair" }, h("div", {}, Object.keys(t.matrix || {}).length ? [h("h3", {}, "Status by status"), h("div", { class: "scroll" }, matrixTable(t.matrix))] : null),
        h("div", {}, h("h3", {}, "Latency"), latencyTable({ production: j.p, service: j.r, response: (t.latency_us || {}).response }))),
      slowest(t),
      kinds.length ? [h("h3", {}, counted(kinds.length, "kind"), " of difference"), kinds.map((kind, at) => kindRow(kind, false, at === 0))] : null,
      noisy.length ? [h("h3", {}, counted(noisy.length, "kind"), " of noise, taken out of the counts"), noisy.map((kind) => kindRow(kind, true, false))] : null);
  };
  // A group that is opened by a click; what is in it is made when it is.
  const group = (key, open, head, body) => {
    if (open && !view.open.has("shut " + key)) view.open.add(key);
    const node = h("details", { class: "kind", "data-key": key, open: printing || view.open.has(key) || null, ontoggle: () => {
      if (node.open) fillIn();
      if (printing) return;
      if (node.open) { view.open.add(key); view.open.delete("shut " + key); } else { view.open.delete(key); view.open.add("shut " + key); }
    } }, h("summary", {}, head));
    const fillIn = () => { if (node.children.length < 2) node.append(...[body()].flat(9)); };
    if (node.open) fillIn();
    return node;
  };
  const countOf = (kind, noisy) => (noisy ? kind.noise || 0 : kind.count - (kind.noise || 0));
  // Both values of the first example, where they are short.
  const values = (kind) => {
    const [one] = kind.examples || [], text = (value) => JSON.stringify(value) ?? "";
    if (!one || !kind.path || one.production === undefined || one.shadow === undefined) return null;
    const both = [text(one.production), text(one.shadow)];
    return both.some((value) => !value || value === "null" || value.length > 40) ? null : h("span", { class: "soft small" }, " ", shown(both.join(" → ")));
  };
  const kindRow = (kind, noisy, open, route) => group((route ? "group " : noisy ? "noise " : "kind ") + [kind.route, kind.in, kind.path, kind.what].join(" "), open,
    [route ? [wire(kind.route), " "] : null, h("span", { class: "tag" }, kind.in), kind.path ? wire(kind.path) : h("span", {}, kind.in === "body" ? "the whole body" : ""), kind.what ? [" ", shown(kind.what)] : values(kind),
      h("span", { class: "count" }, number(countOf(kind, noisy)), route && route.compared ? ` of ${number(route.compared)}` : null)],
    () => kind.examples && kind.examples.length ? kind.examples.slice(0, printing ? 1 : 9).map(example) : h("p", { class: "soft small" }, "No example was kept."));
  const slowest = (t) => !(t.slowest || []).length ? null : [h("h3", {}, "The slowest"), t.slowest.map((one) => h("div", { class: "example" },
    h("p", { class: "who" }, "exchange ", h("code", {}, shown(one.id)), ` at ${one.at.replace("T", " ").slice(0, 23)} · `, h("b", {}, duration(one.response_us)),
      one.service_us !== null && one.service_us !== undefined ? ` · ${duration(one.service_us)} at the target` : "", one.production_us !== null && one.production_us !== undefined ? ` · production ${duration(one.production_us)}` : "", ` · status ${one.status ?? "none"}`),
    h("p", {}, wire(`${one.request.method} ${one.request.target}`)), curlOf(one.curl)))];

  // ---- what differs ---------------------------------------------------------------------------------------------
  const GROUPS = 12; // groups that are listed before the routes
  const differences = () => {
    const judged = rowsOf(summary.routes).map(judge), of = new Map(judged.map((j) => [j.route.route, j]));
    // As the sentences above are ordered.
    const isError = (status) => /^[45]/.test(status || "");
    const weigh = (kind) => { const [before, after] = (kind.what || "").split(" → "); return kind.in === "status" ? (isError(after) && !isError(before) ? 20 : 6) : kind.in === "body" ? 3 : 1; };
    const mine = rowsOf(summary.kinds).filter((kind) => (!kind.target || kind.target === targetUrl()) && countOf(kind) > 0);
    const status = new Map();
    for (const kind of mine) if (kind.in === "status") status.set(kind.route, (status.get(kind.route) || 0) + countOf(kind));
    // The body of another status says nothing more: it stands beside the status.
    const kinds = mine.filter((kind) => kind.in === "status" || (status.get(kind.route) || 0) < 0.95 * countOf(kind)).map((kind) => [weigh(kind) * countOf(kind), kind]);
    const slow = judged.filter((j) => j.slow).map((j) => [1.5 * j.r.count * Math.min(4, Math.max(0.5, Math.log2(j.slow.after / Math.max(1, j.slow.before)))), j]);
    // What the sentences above are about comes first, in their order.
    const sentences = ((summary.verdict || {}).sentences || []).filter((one) => !one.target || one.target === targetUrl());
    const said = (one) => {
      const [route, kind, path] = one.slow ? [one.route.route, "slower", null] : [one.route, one.in, one.in === "status" ? null : one.path];
      const at = sentences.findIndex((sentence) => sentence.route === route && sentence.kind === kind && (path === null || sentence.path === path));
      return at < 0 ? sentences.length : at;
    };
    const all = [...kinds, ...slow].sort((a, b) => said(a[1]) - said(b[1]) || b[0] - a[0]);
    if (!all.length) return null;
    const rows = all.slice(0, printing ? 5 * GROUPS : GROUPS).map(([, one], at) => one.slow
      ? group("slow " + one.route.route, at === 0, [wire(one.route.route), " ", h("span", { class: "tag" }, "slower"), `${one.slow.name} ${duration(one.slow.before)} → ${duration(one.slow.after)}`, h("span", { class: "count" }, counted(one.r.count, "request"))],
        () => [h("div", { class: "narrow" }, latencyTable({ production: one.p, service: one.r, response: (one.t.latency_us || {}).response })), slowest(one.t) || []])
      : kindRow(one, false, at === 0, of.get(one.route) || {}));
    const left = all.length - rows.length;
    return section("differences", "What differs", "The worst first. Open one for the request, both responses, and a command that asks again.", rows,
      left > 0 ? h("p", { class: "soft small" }, `${counted(left, "more group")} stand with their routes.`) : null);
  };
  const valueText = (value) => (value === null || value === undefined ? "(not there)" : typeof value === "string" ? value : JSON.stringify(value, null, 1));
  const curlOf = (line) => {
    if (!line) return null;
    const curl = h("pre", { class: "block" }, shown(line, true));
    const copy = h("button", { type: "button", class: "copy", onclick: async () => { try { await navigator.clipboard.writeText(line); copy.textContent = "Copied"; } catch { const range = document.createRange(); range.selectNodeContents(curl); getSelection().removeAllRanges(); getSelection().addRange(range); copy.textContent = "Selected"; } } }, "Copy");
    return h("div", { class: "curl" }, curl, copy);
  };
  const bodyText = (body) => body.text === null || body.text === undefined ? `${bytes(body.len)}, not shown` : body.text || "(empty)";
  const bodySide = (name, body) => h("div", {}, h("p", { class: "side" }, name, body.type ? [" · ", shown(body.type)] : null, ` · ${bytes(body.len)}`), h("pre", {}, shown(bodyText(body), true)));
  const example = (one) => {
    const request = one.request || {}, [p, q] = one.statuses || [];
    return h("div", { class: "example" },
      h("p", { class: "who" }, one.id ? ["exchange ", h("code", {}, shown(one.id)), " "] : null, one.at ? `at ${one.at.replace("T", " ").slice(0, 23)}` : "", p || q ? ` · status ${p ?? "none"} → ${q ?? "none"}` : ""),
      request.target ? h("p", {}, wire(`${request.method} ${request.target}`)) : null,
      one.bodies ? h("div", { class: "sides" }, bodySide(`production${p ? " " + p : ""}`, one.bodies.production), bodySide(`shadow${q ? " " + q : ""}`, one.bodies.shadow))
        : h("div", { class: "sides" }, h("div", {}, h("p", { class: "side" }, "production"), h("pre", {}, shown(valueText(one.production), true))), h("div", {}, h("p", { class: "side" }, "shadow"), h("pre", {}, shown(valueText(one.shadow), true)))),
      curlOf(one.curl));
  };

  // ---- noise, facts ---------------------------------------------------------------------------------------------
  const noise = () => {
    const list = rowsOf(summary.noise).filter((n) => !n.target || n.target === targetUrl());
    if (!list.length) return unlearnt();
    const WHY = { baseline: "differs at the baseline", self_check: "differs when asked twice", repeats: "differs from repeat to repeat" };
    const rate = (n, side) => { const share = (n.rates || {})[side], of = (n.samples || {})[side]; return h("td", { class: "num" }, typeof share === "number" ? percent(share) : "–", typeof of === "number" ? h("span", { class: "soft small" }, " of " + number(of)) : null); };
    return section("noise", "Noise that was taken out", "Where responses differ from themselves about as often as the shadow’s do from production’s, a difference says nothing: it is left out of the counts above, and listed here.",
      h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["Route", "Where", "Why"].map((name) => h("th", { scope: "col" }, name)), ["Shadow", "By itself"].map((name) => h("th", { scope: "col", class: "num" }, name)))),
        h("tbody", {}, list.slice(0, 300).map((n) => h("tr", {}, h("td", {}, wire(n.route || "")), h("td", {}, h("span", { class: "tag" }, n.in || ""), wire(n.path || "")), h("td", {}, shown(WHY[n.why] || words(n.why || ""))), rate(n, "shadow"), rate(n, "own")))))), unlearntText());
  };
  // What could not be learned, and what helps.
  const unlearnt = () => unlearntText() && section("noise", "Noise that is not known", null, unlearntText());
  const unlearntText = () => {
    const found = rowsOf(summary.noise_unlearnt).find((one) => one.target === targetUrl());
    if (!found) return null;
    const ask = summary.baseline ? "a larger --self-check" : summary.self_check ? "a larger --self-check, or --baseline URL" : "--self-check 10% or --baseline URL";
    return h("p", { class: "small" }, `On ${counted(found.routes, "route")} where ${counted(found.responses, "response")} differ too few requests were sent twice to tell what changes by itself. Add `, h("code", {}, ask), ", or leave a field out: ", h("code", {}, "--ignore"), ".");
  };
  const guardText = (guard) => shown([
    guard.state, guard.held_share ? `holds back ${percent(guard.held_share)}` : null,
    guard.trips ? `tripped ${counted(guard.trips, "time")}` : "never tripped", guard.reason,
  ].filter(Boolean).join("; "));
  const tail = (f) => [f.p50, f.p95, f.p99].map(duration).join(", ");
  const clock = (at) => String(at || "").replace("T", " ").replace(/\.\d+/, "").replace("Z", " UTC");
  const facts = () => {
    const rows = [], add = (name, value, tone) => { if (value !== null && value !== undefined && value !== "") rows.push(h("div", { class: tone || null }, h("dt", {}, name), h("dd", {}, value))); };
    const t = target(), tcp = summary.tcp || {}, st = summary.streams || {}, sample = summary.sample || {};
    const asked = summary.asked || {};
    add("command line", asked.command_line ? wire(asked.command_line) : null, "long"); add("read", (asked.inputs || []).length ? wire(asked.inputs.join(", ")) : null, "long");
    add("filters", (asked.filters || []).length ? wire(asked.filters.join(", ")) : null, "long"); add("seed of the sample", asked.seed || null);
    const merged = summary.merged;
    if (merged) {
      add("added up of", rowsOf(merged.runs).map((run) => h("div", {}, wire(run.name), `: ${counted(run.seen, "request")}, began ${clock(run.started)}, took ${length(run.duration_s)}`)), "long");
      add("not in the sum", rowsOf(merged.left_out).map((what) => h("div", {}, shown(what))), "long");
    }
    const most = merged ? " in one run" : "";
    add("shadowtap", summary.version); add("command", summary.command); add("began", clock(summary.started)); add("took", length(summary.duration_s || 0));
    if (has(summary.capture_delay_us)) add("capture delay (in no latency), p50, p95 and p99", tail(summary.capture_delay_us));
    add("sample asked", sample.asked === undefined ? null : percent(sample.asked));
    for (const of of ["requests", "keys", "bytes"]) if (typeof sample[of] === "number") add("sample reached, of " + of, percent(sample[of]));
    if (t) {
      add("connections opened", number(t.connections_opened)); add("most at once" + most, number(t.peak_connections)); add("most in flight" + most, number(t.peak_in_flight));
      if (has(t.latency_us.connect)) add("connection set-up, p50, p95 and p99", tail(t.latency_us.connect));
      if (has(t.schedule_lag_us)) add("behind schedule, p50, p95 and p99", tail(t.schedule_lag_us));
      for (const a of (t.addresses || []).slice(0, 16)) add(h("bdi", { class: "wire" }, a.address), `${counted(a.requests, "request")}, ${counted(a.connections_opened, "connection")}${a.connections_failed ? `, ${number(a.connections_failed)} failed` : ""}`);
      if (t.retried) add("sent again after their connection was closed", counted(t.retried, "request"));
      const closed = t.closed_early || {};
      if (Object.keys(closed).length) add("without end, closed where production's ended", counted(closed.production_ended || 0, "response"));
      if (closed.max_time || closed.run_ended) add("without end, closed before", counted((closed.max_time || 0) + (closed.run_ended || 0), "response"));
      if (t.guard) add("guard", guardText(t.guard));
    }
    const p = summary.production || {};
    for (const [why, n] of Object.entries(p.unjoined || {})) if (n) add(why === "orphan" ? "responses without a request" : "production response unknown: " + words(why), number(n));
    for (const [why, n] of Object.entries(p.damaged || {})) if (n) add("production response in part: " + words(why), number(n));
    add("connections captured", number(tcp.connections || 0)); add("most open at once" + most, number(tcp.peak_open || 0));
    add("gaps", tcp.gaps ? `${number(tcp.gaps)} (${bytes(tcp.gap_bytes)})` : "0"); add("sent again by TCP", bytes(tcp.retransmitted_bytes || 0));
    for (const [what, name] of [["http1", "HTTP/1"], ["tls", "TLS"], ["http2", "HTTP/2"], ["upgraded", "upgraded"], ["unknown", "something else"]]) if (st[what]) add("spoke " + name, number(st[what]));
    for (const [why, n] of Object.entries((summary.frames || {}).skipped || {})) if (n) add("frames skipped: " + words(why), number(n));
    for (const [why, n] of Object.entries(tcp.evicted || {})) if (n) add("given up for a limit: " + words(why), number(n));
    const rec = summary.recording;
    if (rec) { add("recorded", `${counted(rec.records, "record")}, ${bytes(rec.bytes)}`); add("last file", rec.last ? wire(rec.last) : null); }
    return section("facts", "The run", null, h("dl", { class: "facts" }, rows));
  };

  // ---- all of it ------------------------------------------------------------------------------------------------
  // Whoever has the focus keeps it when what it stands in is drawn anew.
  const keepFocus = (work) => {
    const active = document.activeElement, key = active && active.dataset ? active.dataset.key : null;
    const place = key && active.selectionStart !== undefined ? active.selectionStart : null;
    work();
    if (!key || document.activeElement === active) return;
    for (const one of document.querySelectorAll("[data-key]")) if (one.dataset.key === key) {
      one.focus({ preventScroll: true });
      if (place !== null && one.setSelectionRange) try { one.setSelectionRange(place, place); } catch { /* a checkbox has none */ }
      break;
    }
  };
  const draw = () => {
    if (!summary) return;
    const top = window.scrollY;
    keepFocus(() => root.replaceChildren(...[head(), fleet(), differences(), ledger(), carried(), matrix(), latency(), observed(), overTime(), routes(), noise(), facts(),
      h("footer", {}, `Made by shadowtap ${summary.version || ""}. Values that look secret are masked. Latency: `, "production and service end with the first byte of the response; response begins when the request was due. A latency of service is slower, and colored, where a percentile is 1.25 times production’s and 5 ms above it at p95 (100 requests), 2 ms at p50 (30) or 10 ms at p99 (500); or where of 8 or more the fastest is beyond production’s slowest.")].flat(9).filter(Boolean)));
    if (window.scrollY !== top) window.scrollTo(0, top);
  };
  // `options.live`: the run goes on. `options.root`: the element to fill, else #report.
  const render = (next, options) => {
    summary = next;
    live = Boolean(options && options.live);
    root = (options && options.root) || document.getElementById("report");
    draw();
  };

  // A link to a route opens it, whatever is filtered.
  const follow = () => {
    const name = location.hash.startsWith("#route=") ? decodeURIComponent(location.hash.slice(7)) : null;
    if (!summary || !name || !knownRoutes().has(name)) return;
    view.filter = ""; view.differing = false; view.open.add(name); view.shown = Math.max(view.shown, rowsOf(summary.routes).length);
    draw();
    const row = document.getElementById("route=" + encodeURIComponent(name));
    if (row) row.scrollIntoView({ behavior: "instant" });
  };
  window.addEventListener("hashchange", follow);
  // Paper shows what differs: it can open nothing.
  window.addEventListener("beforeprint", () => { printing = true; draw(); });
  window.addEventListener("afterprint", () => { printing = false; draw(); });

  let width = window.innerWidth, waiting = 0;
  window.addEventListener("resize", () => { if (window.innerWidth !== width) { width = window.innerWidth; cancelAnimationFrame(waiting); waiting = requestAnimationFrame(draw); } });
  return { render, follow, shown, number, duration, percent };
})();
{
  const data = document.getElementById("summary");
  if (data && data.textContent.trim()) { shadowtap.render(JSON.parse(data.textContent)); shadowtap.follow(); }
}
