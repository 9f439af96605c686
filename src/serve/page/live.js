// The live page: what the run is told to show comes once a second, and is drawn by shadowtap.render; wishes go back. What
// came off the wire becomes text, never HTML.
(() => {
  "use strict";
  const { shown, number, percent } = shadowtap;
  const report = document.getElementById("report");
  const first = document.getElementById("live");
  const style = new CSSStyleSheet();
  style.replaceSync(first.dataset.style);
  document.adoptedStyleSheets = [style];

  const h = (name, attributes, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  };

  // ---- wishes ---------------------------------------------------------------------------------------------------
  // Without a token in the page, where somebody may steer, it is asked for, and kept as long as the tab is. A page that is
  // locked shows nothing without it.
  const locked = first.dataset.locked !== undefined;
  let token = first.dataset.token || sessionStorage.getItem("token") || "";
  const say = (text) => { said.textContent = text; said.hidden = !text; };
  // What a page has to say whose token is not the run's; one that was typed is asked for again.
  const unknown = () => {
    if (first.dataset.token) return "another run goes on here now, so load this page again";
    sessionStorage.removeItem("token");
    token = "";
    show();
    word.focus();
    return "this is not the word in the run's --control-token-file";
  };
  const wish = async (what, body) => {
    try {
      const answer = await fetch("/control/" + what, { method: "POST", body: body || "", headers: { Authorization: "Bearer " + token } });
      if (answer.ok) { say(""); return true; }
      say("Not done: " + (answer.status === 401 ? unknown() : (await answer.text()).trim()));
    } catch {
      say("Not done: the run does not answer");
    }
    return false;
  };

  // The slider is finer where shares are small: between 1 % and 10 % there is as much room as between 10 % and 100 %.
  const STEPS = 200;
  const shareOf = (step) => step <= 0 ? 0 : 10 ** (3 * step / STEPS - 3);
  const stepOf = (share) => share <= 0 ? 0 : Math.max(0, Math.round((Math.log10(share) + 3) / 3 * STEPS));
  const rounded = (share) => Number((share * 100).toPrecision(share * 100 >= 10 ? 3 : 2));
  let turning = false;

  const state = h("span", { class: "state", role: "status" }, "connecting");
  const now = h("span", { class: "now" });
  const slider = h("input", { type: "range", min: "0", max: String(STEPS), step: "1", id: "live-share", "aria-label": "Share of requests that is sent",
    oninput: () => { turning = true; tell(shareOf(Number(slider.value))); },
    onchange: async () => { await wish("share", rounded(shareOf(Number(slider.value))) + "%"); turning = false; } });
  const share = h("output", { for: "live-share" });
  const pause = h("button", { type: "button", id: "live-pause", onclick: () => wish(paused ? "resume" : "pause") }, "Pause");
  const stop = h("button", { type: "button", class: "stop", id: "live-stop", onclick: () => { if (confirm("End the run? What is in flight is waited for, and the report is written.")) wish("stop"); } }, "Stop");
  const word = h("input", { type: "password", autocomplete: "off", id: "live-word", size: "16", required: true });
  const asking = h("form", { onsubmit: (event) => { event.preventDefault(); token = word.value.trim(); word.value = ""; sessionStorage.setItem("token", token); say(""); show(); typed(); } },
    h("label", { for: "live-word" }, `To ${locked ? "see" : "steer"} this run, type the word in its --control-token-file`), word, h("button", { type: "submit", id: "live-steer" }, locked ? "Show" : "Steer"));
  const controls = h("form", { onsubmit: (event) => event.preventDefault() }, h("label", { for: "live-share" }, "Share"), slider, share, pause, stop);
  const lost = h("p", { class: "lost", role: "alert", hidden: true });
  const said = h("p", { class: "said", role: "alert", hidden: true });
  const bar = h("div", { id: "live-bar" }, h("div", {}, state, now, controls, asking, said, lost));
  const last = h("section", { id: "live-last", hidden: true });
  const fleet = h("section", { id: "live-fleet", hidden: true });
  document.body.insertBefore(bar, report);
  document.body.insertBefore(fleet, report);
  report.after(last);

  let told = null, paused = false, over = false, ended = false;
  const tell = (value) => { share.textContent = rounded(value) + "%"; };

  const show = () => {
    const steers = Boolean(told && told.steers) && !over;
    controls.hidden = !steers || !token;
    asking.hidden = Boolean(token) || !(steers || (locked && !over));
  };

  // ---- what is lost ---------------------------------------------------------------------------------------------
  const sum = (counts) => Object.values(counts || {}).reduce((all, one) => all + one, 0);
  const losses = (summary) => {
    const all = [];
    const add = (count, what) => { if (count > 0) all.push(number(count) + " " + what); };
    add(summary.frames.kernel_dropped + summary.frames.interface_dropped, "frames dropped before they could be read");
    add(summary.tcp.gaps, "gaps in captured streams");
    // Nobody misses what the run did not come to, or what another replayer has.
    const lostOf = (counts) => sum(counts) - (counts.run_ended || 0) - (counts.moved || 0);
    const shed = lostOf(summary.requests.ended.shed) + Object.values(summary.targets).reduce((all, target) => all + lostOf(target.ended.shed), 0);
    add(shed, "requests shed for want of room");
    add(sum((summary.recording || {}).lost), "records not on the disk");
    return all;
  };

  // ---- the last differences -------------------------------------------------------------------------------------
  const value = (one) => one === null || one === undefined ? "nothing" : typeof one === "string" ? one : JSON.stringify(one);
  const difference = (line) => h("li", {},
    h("div", {}, h("span", { class: "soft" }, line.id, " "), h("span", { class: "wire" }, shown((line.method || "") + " " + (line.target || ""))),
      line.production && line.response ? h("span", { class: "soft" }, " ", String(line.production.status), " → ", String(line.response.status)) : null),
    h("dl", {}, line.differences.slice(0, 5).map((one) => [
      h("dt", {}, one.in + (one.path ? " " : ""), h("span", { class: "wire" }, shown(one.path || ""))),
      h("dd", {}, h("span", { class: "production wire" }, shown(value(one.production).slice(0, 200))), " → ", h("span", { class: "shadow wire" }, shown(value(one.shadow).slice(0, 200)))),
    ])));
  let drawn = "";
  const lastDifferences = (lines) => {
    const key = lines.length ? lines[lines.length - 1].id + " " + lines.length : "";
    if (key === drawn) return;
    drawn = key;
    last.hidden = lines.length === 0;
    last.replaceChildren(h("h2", {}, "Last differences"), h("ol", {}, lines.slice().reverse().map(difference)));
  };

  // ---- the fleet ------------------------------------------------------------------------------------------------
  const STATES = { there: "", ended: "ended", lost: "lost" };
  const ms = (us) => us === null ? "" : us < 1000 ? us + " µs" : us < 1e6 ? Number((us / 1000).toPrecision(3)) + " ms" : Number((us / 1e6).toPrecision(3)) + " s";
  const guardOf = (one) => one.targets.filter((target) => target.guard && (target.guard.trips > 0 || target.guard.state !== "passing"))
    .map((target) => target.guard.state + (target.guard.reason ? ": " + target.guard.reason : "")).join("; ");
  const row = (one, order) => {
    const doing = STATES[one.state] || (one.order < order ? "behind" : one.stopping ? "ending" : one.paused ? "paused" : "sends");
    const there = one.state === "there";
    return h("tr", { class: one.state === "lost" || doing === "behind" ? "bad" : there ? null : "soft" },
      h("th", { scope: "row", class: "wire" }, one.number + " " + shown(one.name)), h("td", {}, doing),
      [there ? number(one.partitions) : "", number(one.sent), number(one.errors), there ? one.rate.toFixed(1) : "", ms(one.p99_us), there ? rounded(one.share) + "%" : "", ms(one.heard_ms * 1000)]
        .map((cell) => h("td", { class: "n" }, cell)),
      h("td", { class: "wire" }, shown(guardOf(one))));
  };
  const SHOWN = 64;
  const drawFleet = (all) => {
    fleet.hidden = !all;
    if (!all) return;
    const { total, orders } = all;
    const parts = [number(total.there) + (total.there === 1 ? " replayer" : " replayers"), number(total.partitions) + " partitions held", number(total.sent) + " sent", number(total.errors) + " errors", total.rate.toFixed(1) + " a second"];
    if (total.p99_us !== null) parts.push("p99 " + ms(total.p99_us));
    if (orders.number > 0) parts.push("last order: " + shown(orders.word) + " by " + shown(orders.by));
    const heads = ["Replayer", "Now", "Partitions", "Sent", "Errors", "A second", "p99", "Share", "Silent for", "Guard"];
    // Those that are there come first where not all have room.
    const some = all.replayers.length > SHOWN ? all.replayers.slice().sort((a, b) => (a.state !== "there") - (b.state !== "there")).slice(0, SHOWN) : all.replayers;
    const more = all.replayers.length - some.length;
    fleet.replaceChildren(h("h2", {}, "Replayers"), h("p", { class: "soft" }, parts.join(" · ")),
      h("div", { class: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((head, at) => h("th", { scope: "col", class: at > 1 && at < 9 ? "n" : null }, head)))),
        h("tbody", {}, some.map((one) => row(one, orders.number))))),
      h("p", { class: "soft", hidden: more === 0 }, number(more) + " more"));
  };

  // ---- events ---------------------------------------------------------------------------------------------------
  const name = () => over ? "ended" : paused ? "paused" : told && told.live.stopping ? "ending" : "live";
  const head = () => {
    const { summary, live } = told;
    const waiting = Object.values(live.targets).reduce((all, target) => all + target.in_flight + target.queue.entries, 0);
    const open = Object.values(live.targets).reduce((all, target) => all + target.connections, 0);
    const parts = [number(summary.requests.seen) + " seen"];
    if (live.read !== null) parts.unshift(percent(Math.floor(live.read * 100) / 100) + " read");
    if (Object.keys(live.targets).length) parts.push(percent(live.share) + " asked for", number(waiting) + " waiting", number(open) + (open === 1 ? " connection" : " connections"));
    const held = Math.max(0, ...Object.values(summary.targets).map((target) => target.guard ? target.guard.held_share : 0));
    if (held > 0) parts.push("the guard holds back " + percent(held));
    now.textContent = parts.join(" · ");
    state.textContent = name();
    bar.className = over ? "ended" : paused ? "paused" : "on";
  };
  const draw = () => {
    head();
    pause.textContent = paused ? "Resume" : "Pause";
    if (!turning && document.activeElement !== slider) slider.value = String(stepOf(told.live.share));
    if (!turning) tell(told.live.share);
    for (const one of [slider, pause, stop]) one.disabled = told.live.stopping;
    const all = losses(told.summary);
    lost.hidden = all.length === 0;
    lost.textContent = all.length ? "Lost: " + all.join(", ") : "";
    show();
    drawFleet(told.live.fleet);
    shadowtap.render(told.summary, { live: !over, root: report });
    lastDifferences(told.differences);
  };

  // Not every event has all: routes, curves and the like come every few seconds, with the last differences. What came
  // last stays in between.
  const SLOW = ["verdict", "routes", "kinds", "curves", "timeline"];
  let slow = {}, lines = [];
  const take = (text) => {
    told = JSON.parse(text);
    const { summary } = told;
    if (summary.timeline) slow = Object.fromEntries(SLOW.map((name) => [name, summary[name]]));
    else Object.assign(summary, slow);
    told.differences = lines = told.differences || lines;
    paused = told.live.paused;
    // After the end nobody is there to be asked again.
    ended = over = Boolean(told.live.ended);
    // What nobody looks at need not be drawn.
    if (!document.hidden) draw();
  };
  if (first.dataset.first) take(first.dataset.first);
  // They come over fetch, not over an EventSource, which cannot show a token.
  const AGAIN = 3000;
  let typed = () => {};
  const listen = async () => {
    const headers = locked ? { Authorization: "Bearer " + token } : {};
    const answer = await fetch("/events", { headers });
    if (answer.status === 401) { say("Not shown: " + unknown()); return; }
    if (!answer.ok) throw new Error(String(answer.status));
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("the end");
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line.startsWith("data: ")) take(line.slice(6));
    }
  };
  // The run ends with its process: what was seen last stays. It may be that only the way to it is broken, so it goes on
  // asking.
  const away = () => {
    over = true;
    if (told) draw(); else { state.textContent = "no response"; bar.className = "away"; }
  };
  const go = async () => {
    for (;;) {
      if (locked && !token) {
        state.textContent = "locked"; bar.className = "away";
        over = false;
        show();
        await new Promise((done) => { typed = done; });
      }
      try { await listen(); } catch { if (ended) return; away(); await new Promise((done) => setTimeout(done, AGAIN)); }
    }
  };
  go();
  document.addEventListener("visibilitychange", () => { if (!document.hidden && told) draw(); });
  show();
})();
