"use strict";
// The value under the pointer, told beside the title of each chart. The tables have the same.
for (const chart of document.querySelectorAll("svg[data-curve]")) {
  const told = chart.parentElement.querySelector(".hover");
  const cross = chart.querySelector(".cross");
  const set = chart.dataset;
  const left = Number(set.left), right = Number(set.right), end = Number(set.end);
  const read = (text) => (text || "").split(" ").filter(Boolean).map(Number);
  const curve = read(set.curve), bound = read(set.bound);
  const valueAt = (numbers, at) => {
    let found = null;
    for (let i = 0; i < numbers.length && numbers[i] <= at; i += 2) found = numbers[i + 1];
    return found;
  };
  const two = (number) => String(number).padStart(2, "0");
  const clock = (at) => {
    const s = Math.floor(at);
    return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  };
  const words = (value) => {
    if (value === null) return "unknown";
    const unit = ` ${set.unit}`;
    if (Math.abs(value) < 1e4) return Number(value.toPrecision(4)) + unit;
    const power = Math.floor(Math.log10(Math.abs(value)) / 3) * 3;
    const raised = String(power).replace(/[0-9]/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
    return `${Number((value / 10 ** power).toPrecision(4))} × 10${raised}${unit}`;
  };
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const x = (event.clientX - box.left) * chart.viewBox.baseVal.width / box.width;
    const at = Math.min(Math.max((x - left) / (right - left), 0), 1) * end;
    const place = left + (end ? at / end : 0) * (right - left);
    cross.setAttribute("x1", place);
    cross.setAttribute("x2", place);
    cross.style.visibility = "visible";
    const limit = bound.length ? `, ${set.boundName} ${words(valueAt(bound, at))}` : "";
    told.textContent = `${clock(at)}: ${words(valueAt(curve, at))}${limit}`;
  });
  chart.addEventListener("pointerleave", () => {
    cross.style.visibility = "hidden";
    told.textContent = "";
  });
}
window.addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
});
