"use strict";
// Values under the pointer on charts, images under it on maps, classes of the legend.
const tip = document.getElementById("tip");

function show(event, parts) {
  tip.replaceChildren(...parts);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const right = event.clientX + 16 + width > innerWidth;
  const below = event.clientY + 16 + height > innerHeight;
  const x = right ? event.clientX - 16 - width : event.clientX + 16;
  const y = below ? event.clientY - 16 - height : event.clientY + 16;
  tip.style.transform = `translate(${Math.max(4, x)}px, ${Math.max(4, y)}px)`;
}

function part(name, content) {
  const made = document.createElement(name);
  made.textContent = content;
  return made;
}

function nearest(points, distance) {
  return points.reduce((best, each) => (distance(each) < distance(best) ? each : best));
}

function follow(area, move, leave) {
  area.addEventListener("pointermove", move);
  area.addEventListener("pointerdown", move);
  for (const name of ["pointerleave", "pointercancel"]) {
    area.addEventListener(name, () => {
      tip.hidden = true;
      leave();
    });
  }
}

for (const svg of document.querySelectorAll("[data-chart]")) {
  const chart = JSON.parse(svg.dataset.chart);
  const cursor = svg.querySelector(".cursor");
  const all = chart.lines.flatMap((line) => line.points);
  const samples = chart.lines.map((line) => {
    const sample = document.querySelector(".sample").cloneNode(true);
    sample.firstChild.setAttribute("class", `line run-${line.run}`);
    return sample;
  });
  const move = (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const [x, place] = nearest(all, (point) => Math.abs(point[1] - at));
    cursor.setAttribute("x1", place);
    cursor.setAttribute("x2", place);
    cursor.setAttribute("visibility", "visible");
    const rows = chart.lines.flatMap((line, number) => {
      const found = line.points.find((point) => point[0] === x);
      if (!found) return [];
      const row = part("div", "");
      row.append(samples[number], part("span", line.name), part("b", found[2]));
      return [row];
    });
    show(event, [part("small", `${chart.x} ${x}`), ...rows]);
  };
  follow(svg, move, () => cursor.setAttribute("visibility", "hidden"));
}

for (const map of document.querySelectorAll("[data-map]")) {
  const { sheet, points } = JSON.parse(map.dataset.map);
  const picture = document.createElement("i");
  picture.className = `thumb ${sheet}`;
  const ring = map.querySelector(".ring");
  const side = map.querySelector("svg").viewBox.baseVal.width;
  const move = (event) => {
    const box = map.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    const y = (event.clientY - box.top) / box.height;
    const point = nearest(points, ([px, py]) => Math.hypot(px - x, py - y));
    picture.style.backgroundPosition = point[2];
    ring.setAttribute("cx", point[0] * side);
    ring.setAttribute("cy", point[1] * side);
    ring.setAttribute("visibility", "visible");
    show(event, [picture, part("span", point[3])]);
  };
  follow(map, move, () => ring.setAttribute("visibility", "hidden"));
}

for (const legend of document.querySelectorAll(".legend")) {
  const figure = legend.closest("figure");
  const choose = (number) => {
    figure.querySelector(".map").classList.toggle("fading", number !== null);
    for (const dots of figure.querySelectorAll(".map .dots")) {
      dots.classList.toggle("chosen", dots.classList.contains(`class-${number}`));
    }
  };
  for (const button of legend.querySelectorAll("button")) {
    for (const name of ["pointerenter", "focus"]) {
      button.addEventListener(name, () => choose(button.dataset.class));
    }
    for (const name of ["pointerleave", "blur"]) {
      button.addEventListener(name, () => choose(null));
    }
  }
}
