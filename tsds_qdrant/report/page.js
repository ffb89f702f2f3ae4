"use strict";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const INK = "#1f2933", SOFT = "#52606d", LINE = "#e4e7eb", GREY = "#9aa5b1";
const FORMS = {
  share: (value) => `${+(100 * value).toPrecision(3)} %`,
  log: (value) => value.toLocaleString("en"),
  number: (value) => String(+value.toPrecision(4)),
};

/* Plots: each is described in the page, and drawn on a canvas, where no text is markup. */

function wrapped(text, most) {
  const lines = [];
  for (const part of text.split("\n")) {
    let line = "";
    for (const word of part.split(" ")) {
      if (line && line.length + word.length >= most) {
        lines.push(line);
        line = "";
      }
      line = line ? `${line} ${word}` : word;
      while (line.length > most) {
        lines.push(line.slice(0, most));
        line = line.slice(most);
      }
    }
    lines.push(line);
  }
  return lines;
}

const KINDS = {
  line: (own) => ({
    type: "line",
    borderColor: own.colour,
    backgroundColor: own.colour,
    borderWidth: 2,
    borderDash: own.dashed ? [5, 4] : [],
    pointRadius: own.size,
    pointHitRadius: 6,
  }),
  steps: (own) => ({
    type: "line",
    stepped: true,
    fill: "origin",
    borderColor: own.colour,
    backgroundColor: `${own.colour}66`,
    borderWidth: 1,
    pointRadius: 0,
  }),
  points: (own) => ({
    type: "scatter",
    pointRadius: own.size,
    pointHoverRadius: own.size + 2,
    borderWidth: 0,
    backgroundColor: own.x.length > 1 ? `${own.colour}b0` : own.colour,
  }),
  crosses: (own) => ({
    type: "scatter",
    pointStyle: "crossRot",
    pointRadius: own.size,
    pointHoverRadius: own.size + 2,
    pointBorderWidth: 2,
    borderColor: own.colour,
  }),
  bars: (own) => ({ type: "bar", backgroundColor: own.colour, barPercentage: 0.9 }),
};

function dataset(own) {
  const data = own.kind === "bars" ? own.y : own.x.map((x, place) => ({ x, y: own.y[place] }));
  return { ...KINDS[own.kind](own), label: own.name, data };
}

function axis(own) {
  const named = own.form === "names";
  return {
    type: named ? "category" : own.form === "log" ? "logarithmic" : "linear",
    labels: named ? own.names : undefined,
    beginAtZero: own.zero,
    title: { display: Boolean(own.title), text: own.title },
    border: { color: GREY },
    grid: { display: own.form !== "hidden" && !named, color: LINE },
    ticks: {
      display: own.form !== "hidden",
      maxRotation: 0,
      autoSkip: !named,
      ...(named ? {} : { callback: FORMS[own.form] }),
    },
  };
}

/* A dashed line across the plot, with its text on the side that has more room. */
const marks = {
  id: "marks",
  afterDatasetsDraw(chart, _, { lines }) {
    const { ctx, chartArea: area, scales } = chart;
    for (const { x, text } of lines || []) {
      const place = scales.x.getPixelForValue(x);
      if (place < area.left || place > area.right) continue;
      const left = place > (area.left + area.right) / 2;
      ctx.save();
      ctx.strokeStyle = INK;
      ctx.setLineDash([4, 4]);
      ctx.beginPath();
      ctx.moveTo(place, area.top);
      ctx.lineTo(place, area.bottom);
      ctx.stroke();
      ctx.font = Chart.helpers.toFont({ ...Chart.defaults.font }).string;
      const width = ctx.measureText(text).width + 8;
      ctx.fillStyle = "#ffffffd0";
      ctx.fillRect(left ? place - width - 2 : place + 2, area.top, width, 20);
      ctx.fillStyle = INK;
      ctx.textBaseline = "middle";
      ctx.fillText(text, left ? place - width + 2 : place + 6, area.top + 10);
      ctx.restore();
    }
  },
};

/* The same unit on both axes, around all points. */
function fit(chart) {
  const { width, height } = chart.chartArea;
  const points = chart.data.datasets.flatMap((own) => own.data);
  const spans = ["x", "y"].map((key) => {
    const values = points.map((point) => point[key]);
    const low = values.reduce((a, b) => Math.min(a, b), Infinity);
    const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    return [(low + high) / 2, (high - low) * 1.06 || 1];
  });
  const unit = Math.max(spans[0][1] / width, spans[1][1] / height);
  [["x", width], ["y", height]].forEach(([key, size], place) => {
    const [middle] = spans[place];
    chart.options.scales[key].min = middle - (unit * size) / 2;
    chart.options.scales[key].max = middle + (unit * size) / 2;
  });
  chart.update("none");
}

function options(plot, canvas) {
  const lines = plot.series.every((own) => own.kind === "line" || own.kind === "steps" || !own.name);
  const bars = plot.series[0].kind === "bars";
  const whole = canvas.closest(".enlarged")?.querySelector(".whole");
  const shown = (value, form) => (FORMS[form] || FORMS.number)(value);
  return {
    indexAxis: bars ? "y" : "x",
    scales: { x: axis(plot.across), y: axis(plot.up) },
    interaction: bars
      ? { mode: "index", axis: "y", intersect: false }
      : { mode: "nearest", axis: lines ? "x" : "xy", intersect: !lines },
    onResize: plot.equal ? (chart) => requestAnimationFrame(() => fit(chart)) : undefined,
    plugins: {
      marks: { lines: plot.marks },
      legend: {
        align: "start",
        labels: {
          usePointStyle: true,
          boxHeight: 8,
          filter: (item) => item.text && plot.series.filter((own) => own.name).length > 1,
        },
      },
      tooltip: {
        displayColors: lines || bars,
        callbacks: {
          title: ([item]) =>
            !item || !(lines || bars)
              ? ""
              : bars
                ? plot.up.names[item.dataIndex]
                : `${plot.across.title} ${shown(item.parsed.x, plot.across.form)}`,
          label: (item) => {
            const own = plot.series[item.datasetIndex];
            const most = Math.max(24, Math.floor((item.chart.width - 60) / 7.5));
            if (own.labels.length) return wrapped(own.labels[item.dataIndex], Math.min(most, 64));
            const value = bars ? shown(item.parsed.x, "share") : shown(item.parsed.y, plot.up.form);
            return own.name ? `${own.name}: ${value}` : value;
          },
        },
      },
      zoom: {
        zoom: {
          drag: { enabled: plot.equal, backgroundColor: "#1d4ed822" },
          mode: "xy",
          onZoomComplete: () => whole && (whole.hidden = false),
        },
      },
    },
  };
}

function draw([place, plot]) {
  const canvas = document.getElementById(place);
  const datasets = plot.series.map(dataset);
  // The last is in front, and in the legend they stand in that order.
  datasets.forEach((own, number) => (own.order = datasets.length - number));
  const labels = plot.up.form === "names" ? plot.up.names : undefined;
  const type = datasets[0].type;
  const settings = options(plot, canvas);
  const chart = new Chart(canvas, { type, data: { labels, datasets }, options: settings, plugins: [marks] });
  if (!plot.equal) return;
  fit(chart);
  const whole = canvas.closest(".enlarged").querySelector(".whole");
  whole.addEventListener("click", () => {
    fit(chart);
    whole.hidden = true;
  });
}

Object.assign(Chart.defaults, { animation: false, maintainAspectRatio: false, color: INK });
Object.assign(Chart.defaults.font, { family: getComputedStyle(document.body).fontFamily, size: 13 });
Object.assign(Chart.defaults.plugins.tooltip, {
  backgroundColor: "#fff",
  titleColor: INK,
  bodyColor: INK,
  borderColor: GREY,
  borderWidth: 1,
  padding: 8,
});
Object.entries(read("plots")).forEach(draw);
addEventListener("beforeprint", () => Object.values(Chart.instances).forEach((one) => one.resize()));

/* The whole selection: one page of rows at a time is in the document, and texts are only texts. */

const PAGE = 50, SUMMARY = 220;
const ALPHABET = new Intl.Collator("en", { numeric: true });

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function textOf(text) {
  if (text === null) return element("span", "(no longer stored)", { class: "none" });
  if (!text) return element("span", "(no text)", { class: "none" });
  if (text.length <= SUMMARY) return element("span", text);
  const folded = element("details");
  folded.append(element("summary", `${text.slice(0, SUMMARY).trimEnd()} …`), element("span", text));
  return folded;
}

function table({ columns, examples, near }) {
  const root = document.getElementById("selection-table");
  const [find, found, page, previous, next] = ["find", "found", "page", "previous", "next"].map(
    (id) => document.getElementById(id),
  );
  const count = columns[0].cells.length;
  const searched = columns.filter(({ kind }) => ["wide", "word", "id"].includes(kind));
  const texts = Array.from({ length: count }, (_, row) =>
    searched.map(({ cells }) => cells[row] ?? "").join("\n").toLowerCase(),
  );
  let order = Array.from({ length: count }, (_, row) => row);
  let sorted = 0, falling = false, first = 0, shown = order;

  const cell = ({ name, kind, cells }, row) => {
    const value = cells[row];
    const classes = { distance: "number", example: "text" };
    const made = element("td", "", { class: classes[kind] || kind, "data-label": name });
    if (kind === "wide") made.append(textOf(value));
    else if (kind === "example" && value >= 0) {
      made.append(element("b", `#${value}`), ` ${examples[value] || ""}`);
    } else if (kind !== "example" && value !== null) {
      const nearer = kind === "distance" && near !== null && value <= near;
      const text = kind === "distance" ? value.toFixed(3) : String(value);
      made.append(element("span", text, nearer ? { class: "near" } : {}));
    }
    return made;
  };

  const show = () => {
    const rows = shown.slice(first, first + PAGE).map((row) => {
      const made = element("tr");
      made.append(...columns.map((column) => cell(column, row)));
      return made;
    });
    root.tBodies[0].replaceChildren(...rows);
    root.parentElement.scrollTop = 0;
    const last = Math.min(first + PAGE, shown.length);
    page.textContent = shown.length ? `${first + 1} to ${last} of ${shown.length}` : "none";
    found.textContent = find.value ? `${shown.length} of ${count} found` : "";
    previous.disabled = first === 0;
    next.disabled = last >= shown.length;
    heads.forEach((head, number) => {
      const way = number !== sorted ? "none" : falling ? "descending" : "ascending";
      head.setAttribute("aria-sort", way);
    });
  };

  const search = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = order.filter((row) => words.every((word) => texts[row].includes(word)));
    first = 0;
    show();
  };

  const sort = (number) => {
    falling = number === sorted && !falling;
    sorted = number;
    const { cells } = columns[number];
    const sign = falling ? -1 : 1;
    const compare = (a, b) =>
      typeof a === "string" ? ALPHABET.compare(a, b) : a - b;
    // What has no value comes last either way; equal ones stay by rank.
    order = Array.from({ length: count }, (_, row) => row).sort((a, b) => {
      const [one, other] = [cells[a], cells[b]];
      if (one === null || other === null) return (one === null) - (other === null) || a - b;
      return sign * compare(one, other) || a - b;
    });
    search();
  };

  const heads = columns.map(({ name, kind }, number) => {
    const head = element("th", "", { scope: "col", class: kind === "distance" ? "number" : kind });
    const button = element("button", name, { type: "button" });
    button.addEventListener("click", () => sort(number));
    head.append(button);
    return head;
  });
  root.tHead.rows[0].append(...heads);
  find.addEventListener("input", search);
  for (const [button, step] of [[previous, -PAGE], [next, PAGE]]) {
    button.addEventListener("click", () => {
      first += step;
      show();
    });
  }
  show();
}

table(read("rows"));
