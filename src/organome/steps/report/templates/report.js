// Plots of the start page. A scan that is chosen, by a point or by #scan=KEY, is marked in all of them.
(function () {
  "use strict";
  const data = window.REPORT;
  const scans = data.scans || { scan: [] };
  const place = new Map(scans.scan.map((key, index) => [key, index]));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const COLOURS = { female: "#D55E00", male: "#0072B2", unknown: "#7a828c" };
  const SYMBOLS = { female: "circle", male: "diamond", unknown: "square" };
  let chosen = null;

  const style = () => getComputedStyle(document.documentElement);
  const colour = (name) => style().getPropertyValue(`--${name}`).trim();
  const words = (name) => name.replace(/_/g, " ");
  const sexOf = (index) => scans.sex[index] || "unknown";

  function layout(x, y, more) {
    const axis = (title) => ({ title: { text: title, standoff: 8 }, automargin: true, gridcolor: colour("soft"), zeroline: false, linecolor: colour("line") });
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("text"), size: 13 },
      margin: { l: 60, r: 20, t: 20, b: 50 }, xaxis: axis(x), yaxis: axis(y.length > 40 ? y.replace(" less ", "<br>less ") : y), hovermode: "closest",
      showlegend: (scans.sex || []).some((sex) => sex !== null), legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, dragmode: false, ...more,
    };
  }

  // One trace per sex; the scans of a point stand beside it.
  function points(items) {
    return ["female", "male", "unknown"].map((sex) => {
      const some = items.filter((item) => sexOf(item.at[0]) === sex);
      return {
        type: "scatter", mode: "markers", name: sex, x: some.map((i) => i.x), y: some.map((i) => i.y),
        customdata: some.map((i) => i.at), text: some.map((i) => i.at.map((one) => scans.scan[one]).join(", ")),
        hovertemplate: "%{text}<br>%{x}, %{y}<extra></extra>",
        marker: { color: COLOURS[sex], symbol: SYMBOLS[sex], size: 7, opacity: items.length > 300 ? 0.55 : 0.85 },
      };
    }).filter((trace) => trace.x.length);
  }

  function marks(items) {
    const some = items.filter((item) => item.at.includes(chosen));
    return {
      type: "scatter", mode: "markers", name: "chosen scan", x: some.map((i) => i.x), y: some.map((i) => i.y), hoverinfo: "skip",
      showlegend: false, marker: { symbol: "circle-open", size: 18, color: colour("text"), line: { width: 3 } },
    };
  }

  const line = (x, y, name, dash, ink) => ({ type: "scatter", mode: "lines", x, y, name, showlegend: false, hoverinfo: "name", line: { dash, color: ink || colour("text"), width: 1.5 } });

  function volumes(name) {
    const values = (data.volumes || {})[name] || [];
    const hasAge = (scans.age_years || []).some((age) => age !== null);
    const items = values.map((y, at) => ({ x: hasAge ? scans.age_years[at] : at + 1, y, at: [at] })).filter((i) => i.x !== null && i.y !== null);
    const bins = (data.bins || {})[name];
    const traces = bins && hasAge ? [{ type: "heatmap", x: bins.x, y: bins.y, z: bins.n.map((row) => row.map((n) => n || null)), colorscale: [[0, dark.matches ? "#263340" : "#e8eef5"], [1, dark.matches ? "#6f93b8" : "#7fa3c8"]], showscale: false, hovertemplate: "%{z} visits<extra>all scans</extra>" }] : [];
    for (const curve of data.curves.filter((one) => one.structure === name))
      for (const [level, dash] of [["p3", "dot"], ["p50", "solid"], ["p97", "dot"]])
        traces.push(line(curve.age_years, curve[level], `${curve.sex}, ${curve.contrast}, ${level.slice(1)} %`, dash, COLOURS[curve.sex]));
    return { items, traces, x: hasAge || !items.length ? "age, years" : "place by doubt (ages are not known)", y: `${words(name)}, mL` };
  }

  function sides(name) {
    const left = data.volumes[`left_${name}`], right = data.volumes[`right_${name}`];
    const items = left.map((x, at) => ({ x, y: right[at], at: [at] })).filter((i) => i.x !== null && i.y !== null);
    const all = items.flatMap((i) => [i.x, i.y]);
    const ends = [Math.min(...all), Math.max(...all)];
    return { items, traces: [line(ends, ends, "equal", "dash")], x: `left ${words(name)}, mL`, y: `right ${words(name)}, mL` };
  }

  const agreement = (kind) => (name) => {
    const one = data[kind].find((found) => `${found.structure}, ${found.kind}` === name);
    const items = one.mean.map((x, n) => ({ x, y: one.difference[n], at: one.at[n] }));
    const ends = [Math.min(...one.mean), Math.max(...one.mean)];
    const traces = one.limits.map((y, n) => y === null ? null : line(ends, [y, y], ["bias", "lower limit", "upper limit"][n], n ? "dot" : "solid")).filter(Boolean);
    return { items, traces, x: "mean of both, mL", y: `${one.kind}, mL` };
  };

  const named = (kind) => (data[kind] || []).filter((one) => one.at.length).map((one) => `${one.structure}, ${one.kind}`);
  const inAny = (name) => !data.volumes || data.volumes[name].some((value) => value !== null);
  const PLOTS = {
    volumes: { draw: volumes, choices: () => data.volumes ? data.structures.filter(inAny) : [...new Set(data.curves.map((one) => one.structure))], first: "liver" },
    sides: { draw: sides, choices: () => data.structures.filter((n) => n.startsWith("left_") && data.volumes[n.replace("left_", "right_")] && inAny(n)).map((n) => n.slice(5)), first: "kidney" },
    contrasts: { draw: agreement("contrasts"), choices: () => named("contrasts"), first: "liver" },
    visits: { draw: agreement("visits"), choices: () => named("visits"), first: "liver" },
  };

  function draw(name) {
    const div = document.getElementById(`${name}-plot`), choice = document.getElementById(`${name}-choice`);
    const found = PLOTS[name].draw(choice.value);
    div.items = found.items;
    const traces = [...found.traces, ...points(found.items), marks(found.items)];
    const titles = choice.options[choice.selectedIndex].text;
    div.setAttribute("role", "img");
    div.setAttribute("aria-label", `${titles}: ${found.items.length} points, ${found.y} by ${found.x}`);
    return Plotly.react(div, traces, layout(found.x, found.y), { displayModeBar: false, responsive: true, doubleClick: false }).then(() => {
      if (div.listens) return;
      div.listens = true;
      div.on("plotly_click", (event) => {
        const at = event.points.map((point) => point.customdata).find(Array.isArray);
        if (at) location.hash = `scan=${scans.scan[at[at.length - 1] === chosen ? at[0] : at[at.length - 1]]}`;
      });
    });
  }

  function select(key) {
    chosen = place.has(key) ? place.get(key) : null;
    const panel = document.getElementById("selected");
    if (!panel) return;
    panel.hidden = chosen === null;
    if (chosen !== null) {
      const page = Math.floor(chosen / data.page_size) + 1;
      const link = document.createElement("a");
      link.href = `scans-${page}.html#scan-${key}`;
      link.textContent = "its row";
      panel.replaceChildren(`Scan ${key}: ${scans.quality[chosen] || "not judged"}, ${scans.contrast[chosen] || "no contrast"}; marked in all plots; `, link);
    }
    for (const div of document.querySelectorAll(".plot"))
      if (div.data) {
        const mark = marks(div.items);
        Plotly.restyle(div, { x: [mark.x], y: [mark.y] }, [div.data.length - 1]);
      }
  }

  const fromHash = () => { const found = /^#scan=(.+)$/.exec(location.hash); if (found) select(decodeURIComponent(found[1])); };

  // A plot is drawn, with its mark, when it comes into view: all at once would keep the page busy for seconds.
  const inView = new IntersectionObserver((seen) => {
    for (const one of seen) if (one.isIntersecting && !one.target.data) draw(one.target.dataset.plot);
  });

  function start() {
    const shown = Object.keys(PLOTS).filter((name) => document.getElementById(`${name}-plot`));
    for (const name of shown) {
      const choice = document.getElementById(`${name}-choice`);
      for (const value of PLOTS[name].choices()) choice.add(new Option(words(value), value));
      const first = [...choice.options].findIndex((option) => option.value.startsWith(PLOTS[name].first));
      choice.selectedIndex = Math.max(0, first);
      choice.addEventListener("change", () => draw(name));
    }
    for (const name of shown) {
      const div = document.getElementById(`${name}-plot`);
      if (document.getElementById(`${name}-choice`).options.length) inView.observe(div);
      else div.closest("figure").replaceWith("None of the scans that are shown has a value here.");
    }
    fromHash();
    document.documentElement.dataset.ready = "true";
  }

  addEventListener("hashchange", fromHash);
  addEventListener("beforeprint", () => document.querySelectorAll(".plot").forEach((div) => { if (!div.data) draw(div.dataset.plot); }));
  dark.addEventListener("change", () => Object.keys(PLOTS).forEach((name) => { const div = document.getElementById(`${name}-plot`); if (div && div.data) draw(name); }));
  start();
})();
