"use strict";
// The cursor of the charts: a slider under each, all moving together. Without it nothing is lost
// but comfort; the tables hold the same numbers.
(() => {
  const source = document.getElementById("readout");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const plots = [...document.querySelectorAll("[data-chart]")].filter((plot) => plot.querySelector("input"));
  const cursors = [...document.querySelectorAll(".cursor")];
  const two = (n) => String(n).padStart(2, "0");
  const clock = (s) => {
    const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
    return (h ? `${h}:` : "") + `${two(m)}:${two(s % 60)}`;
  };
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const written = (series, value) =>
    series.share ? fill(data.words.percent, { n: value })
      : series.scale > 1 ? (value / series.scale).toFixed(2) : String(value);
  const read = (second) => {
    const k = Math.floor(second / data.step);
    const parts = [];
    let lead = `${data.words.mean} `;
    for (const s of data.series) {
      if (s.values[k] === null) continue;
      let text = `${s.name} ${written(s, s.values[k])}`;
      if (s.low && s.low[k] !== null && s.high[k] !== null)
        text += ` (${fill(data.words.range, { low: written(s, s.low[k]), high: written(s, s.high[k]) })})`;
      parts.push(s.mean ? lead + text : text);
      if (s.mean) lead = "";
    }
    if (data.state[k]) parts.push(data.states[data.state[k]]);
    return parts.join(data.words.list);
  };
  const show = (second) => {
    const text = read(second), at = `${(100 * (second + 0.5)) / data.seconds}%`;
    for (const line of cursors) {
      line.setAttribute("x1", at);
      line.setAttribute("x2", at);
      line.setAttribute("visibility", "visible");
    }
    for (const plot of plots) {
      const input = plot.querySelector("input"), line = plot.querySelector(".read");
      input.value = String(second);
      input.setAttribute("aria-valuetext", `${clock(second)}: ${text}`);
      const time = document.createElement(data.link ? "a" : "b");
      time.textContent = clock(second);
      if (data.link) time.href = data.link.replaceAll("{second}", String(second));
      line.replaceChildren(time, ` ${text}`);
    }
  };
  for (const plot of plots) {
    const input = plot.querySelector("input");
    input.max = String(data.seconds - 1);
    input.step = String(data.step);
    input.setAttribute("aria-valuetext", `${clock(0)}: ${read(0)}`);
    plot.querySelector(".scrub").hidden = false;
    input.addEventListener("input", () => show(Number(input.value)));
    plot.querySelector(".chart").addEventListener("pointermove", (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      const second = Math.floor(Math.min(Math.max(share, 0), 0.9999) * data.seconds);
      show(second - (second % data.step));
    });
  }
})();
