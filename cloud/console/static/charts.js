/* Charts of a period that zoom: by drag, by pinch, by keys. Without a script the server's drawing stays; this one takes its place. */
"use strict";
(() => {
  const NARROWEST = 3; // days
  const css = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const all = [];

  const between = (low, high, days) => {
    const wide = Math.min(days, Math.max(NARROWEST, high - low)); // Infinity: all of them
    const from = Math.min(Math.max(low, -0.5), days - 0.5 - wide);
    return [from, from + wide];
  };

  /* All charts of the page show the same days. */
  const show = (low, high) => {
    for (const { plot, days, whole } of all) {
      const [min, max] = between(low, high, days);
      plot.setScale("x", { min, max });
      whole.hidden = max - min > days - 0.01;
    }
  };
  const seen = (plot) => [plot.scales.x.min, plot.scales.x.max];
  const closer = (plot, factor, at = 0.5) => {
    const [low, high] = seen(plot);
    const wide = (high - low) * factor;
    show(low + (high - low - wide) * at, low + (high - low - wide) * at + wide);
  };
  const along = (plot, share) => {
    const [low, high] = seen(plot);
    show(low + (high - low) * share, high + (high - low) * share);
  };

  /* Two fingers: what lay under them stays under them. One finger scrolls the page. */
  const pinch = (plot) => {
    const over = plot.over;
    let began;
    const places = (event) => [...event.touches].map((touch) => touch.clientX - over.getBoundingClientRect().left).sort((a, b) => a - b);
    over.addEventListener("touchstart", (event) => {
      if (event.touches.length === 2) began = places(event).map((x) => plot.posToVal(x, "x"));
    }, { passive: true });
    over.addEventListener("touchmove", (event) => {
      if (event.touches.length !== 2 || !began) return;
      event.preventDefault();
      const [left, right] = places(event);
      const day = (began[1] - began[0]) / Math.max(20, right - left);
      show(began[0] - left * day, began[0] - left * day + over.clientWidth * day);
    }, { passive: false });
    over.addEventListener("touchend", () => { began = undefined; });
  };

  const KEYS = {
    "+": (plot) => closer(plot, 0.5), "=": (plot) => closer(plot, 0.5), "-": (plot) => closer(plot, 2),
    ArrowLeft: (plot) => along(plot, -0.25), ArrowRight: (plot) => along(plot, 0.25),
    Escape: () => show(-Infinity, Infinity), Home: () => show(-Infinity, Infinity),
  };

  const draw = (box) => {
    const told = JSON.parse(box.dataset.zooms);
    const days = told.days.length;
    const picture = box.querySelector(".plot");
    const name = (i) => told.days[i] ?? "";
    const bars = (share) => uPlot.paths.bars({ size: [share, 60], radius: 0.1 });
    const colour = css(`--series-${told.series}`);
    const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const number = (value) => value == null ? "—" : value.toLocaleString(document.documentElement.lang, { maximumFractionDigits: 2 });
    const options = {
      width: picture.clientWidth, height: 220, padding: [8, 4, 0, 0],
      scales: { x: { time: false, range: (_, low, high) => [low, high], min: -0.5, max: days - 0.5 }, y: { range: (_, low, high) => [Math.min(0, low * 1.08), Math.max(1, high * 1.08)] } },
      axes: [
        { ...axis, size: 28, grid: { show: false }, incrs: [1, 2, 4, 7, 14, 28, 56, 112], space: 52, values: (_, places) => places.map((at) => name(at)) },
        { ...axis, size: 52, values: (_, places) => places.map((at) => Math.abs(at) >= 10000 ? `${Math.round(at / 1000)}k` : number(at)) },
      ],
      cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: "charts" }, points: { show: false } },
      series: [
        { label: told.day, value: (_, at) => at == null ? "—" : name(at) },
        { label: told.before, fill: () => `color-mix(in srgb, ${colour()} 35%, transparent)`, stroke: "transparent", width: 0, paths: bars(0.8), points: { show: false }, value: (_, at) => number(at) },
        { label: told.now, fill: colour, stroke: "transparent", width: 0, paths: bars(0.4), points: { show: false }, value: (_, at) => number(at) },
      ],
      hooks: {
        setSelect: [(plot) => {
          if (plot.select.width < 8) return;
          const from = plot.posToVal(plot.select.left, "x"), to = plot.posToVal(plot.select.left + plot.select.width, "x");
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          show(from, to);
        }],
      },
    };
    box.hidden = false;
    options.width = picture.clientWidth;
    const plot = new uPlot(options, [told.days.map((_, i) => i), told.then, told.values], picture);
    const whole = box.querySelector("[data-whole]");
    all.push({ plot, days, whole });
    box.previousElementSibling.setAttribute("hidden", ""); // the server's drawing
    picture.addEventListener("dblclick", () => show(-Infinity, Infinity));
    picture.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
      event.preventDefault();
      KEYS[event.key](plot);
    });
    box.querySelector("[data-closer]").addEventListener("click", () => closer(plot, 0.5));
    box.querySelector("[data-wider]").addEventListener("click", () => closer(plot, 2));
    whole.addEventListener("click", () => show(-Infinity, Infinity));
    pinch(plot);
    new ResizeObserver(() => plot.setSize({ width: picture.clientWidth, height: 220 })).observe(picture);
    show(-Infinity, Infinity);
  };

  for (const box of document.querySelectorAll("[data-zooms]")) draw(box);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const { plot } of all) plot.redraw(); });
})();
