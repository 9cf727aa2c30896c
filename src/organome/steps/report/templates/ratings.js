// Ratings: kept in the browser, downloaded as the TSV that check_quality reads, or sent to `organome rate`.
(function () {
  "use strict";
  const KEPT = "organome-ratings-" + window.REPORT.id;
  const RATER = "organome-rater";
  const COLUMNS = ["scan", "organ", "rating", "rater", "note", "time"];
  const isServed = location.protocol === "http:" && location.hostname === "127.0.0.1";
  const KEYS = { p: "pass", f: "fail", u: "unsure" };

  const read = () => JSON.parse(localStorage.getItem(KEPT) || "[]");
  const rater = () => (localStorage.getItem(RATER) || "me").replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 40);
  const plain = (text) => text.replace(/\s+/g, " ").trim();

  function say(text) {
    const place = document.getElementById("said");
    if (place) place.textContent = text;
  }

  function keep(row) {
    localStorage.setItem(KEPT, JSON.stringify([...read(), row]));
    if (!isServed) return say(`${row.scan}: ${row.rating}, kept in this browser`);
    fetch("ratings", { method: "POST", body: JSON.stringify(row) })
      .then((answer) => say(`${row.scan}: ${answer.ok ? `${row.rating}, written` : "could not be written"}`))
      .catch(() => say(`${row.scan}: could not be written; it is kept in this browser`));
  }

  function tsv() {
    const cell = (text) => (/["\t\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
    const lines = read().map((row) => COLUMNS.map((name) => cell(row[name] || "")).join("\t"));
    return [COLUMNS.join("\t"), ...lines, ""].join("\n");
  }

  function download() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([tsv()], { type: "text/tab-separated-values" }));
    link.download = `ratings_${rater()}.tsv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function show() {
    const last = {};
    for (const row of read()) last[`${row.scan}|${row.organ}`] = row;
    for (const place of document.querySelectorAll("#n-ratings")) place.textContent = Object.keys(last).length;
    for (const scan of document.querySelectorAll(".scan")) {
      const row = last[`${scan.dataset.scan}|${scan.querySelector("select").value}`];
      for (const button of scan.querySelectorAll("button[data-rating]"))
        button.setAttribute("aria-pressed", String(Boolean(row) && row.rating === button.dataset.rating));
      const note = scan.querySelector(".remark");
      if (row && document.activeElement !== note) note.value = row.note;
    }
  }

  function rate(scan, rating) {
    keep({
      scan: scan.dataset.scan,
      organ: scan.querySelector("select").value,
      rating,
      rater: rater(),
      note: plain(scan.querySelector(".remark").value),
      time: new Date().toISOString(),
    });
    show();
  }

  function go(scan) {
    if (!scan || !scan.classList.contains("scan")) return;
    scan.focus({ preventScroll: true });
    scan.scrollIntoView({ block: "start" });
  }

  function onKey(event) {
    const scan = event.target.closest ? event.target.closest(".scan") : null;
    if (event.key === "Escape" && scan) return go(scan);
    if (!scan || event.ctrlKey || event.altKey || event.metaKey) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (KEYS[event.key]) { rate(scan, KEYS[event.key]); go(scan.nextElementSibling); }
    else if (event.key === "j") go(scan.nextElementSibling);
    else if (event.key === "k") go(scan.previousElementSibling);
    else if (event.key === "o") scan.querySelector("select").focus();
    else if (event.key === "n") scan.querySelector(".remark").focus();
    else return;
    event.preventDefault();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-rating]");
    if (button) rate(button.closest(".scan"), button.dataset.rating);
  });
  document.addEventListener("keydown", onKey);
  document.addEventListener("change", show);
  const name = document.getElementById("rater");
  if (name) {
    name.value = rater();
    name.addEventListener("input", () => localStorage.setItem(RATER, name.value || "me"));
  }
  document.getElementById("download").addEventListener("click", download);
  addEventListener("storage", show);
  show();
  const first = document.querySelector(".scan:target") || document.querySelector(".scan");
  if (first) first.focus({ preventScroll: true });
})();
