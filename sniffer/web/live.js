// Uploads with progress that survive a broken connection, and states that change while they
// are looked at. Every page is complete without this.
"use strict";

const PIECE = 8 << 20;
const RETRIES = 8;

for (const area of document.querySelectorAll("[data-drop]")) {
  const form = area.querySelector("form");
  const input = form.querySelector("input[type=file]");
  const list = document.querySelector("[data-uploads]");
  area.addEventListener("dragover", (event) => {
    event.preventDefault();
    area.classList.add("over");
  });
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    takeAll(event.dataTransfer.files, form, list);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    takeAll(input.files, form, list);
    input.value = "";
  });
  input.addEventListener("change", () => form.requestSubmit());
}

async function takeAll(files, form, list) {
  const site = form.elements.site.value;
  const begun = [...files].map((file) => take(file, site, list));
  const urls = await Promise.all(begun);
  if (urls.length === 1 && urls[0]) location.assign(urls[0]);
}

// Uploads a file in pieces; returns the page of its capture, or null if it was refused.
async function take(file, site, list) {
  const row = document.createElement("li");
  const name = document.createElement("div");
  const bar = document.createElement("progress");
  const stop = document.createElement("button");
  const abort = new AbortController();
  name.textContent = file.name;
  stop.textContent = "Cancel";
  stop.type = "button";
  stop.addEventListener("click", () => abort.abort());
  bar.max = file.size || 1;
  bar.setAttribute("aria-label", `Upload of ${file.name}`);
  row.append(name, bar, stop);
  list.prepend(row);
  let capture = null;
  try {
    const told = JSON.stringify({ name: file.name, size: file.size, site });
    const headers = { "Content-Type": "application/json" };
    capture = await ask("/api/v1/captures", { method: "POST", headers, body: told });
    await sendAll(file, capture.url, bar, abort.signal);
  } catch (error) {
    bar.remove();
    stop.remove();
    name.textContent = `${file.name}: ${abort.signal.aborted ? "cancelled" : error.message}`;
    name.setAttribute("role", "alert");
    if (capture) fetch(capture.url, { method: "DELETE" }).catch(() => {});
    return null;
  }
  stop.remove();
  const link = document.createElement("a");
  link.href = `/captures/${capture.id}`;
  link.textContent = file.name;
  name.replaceChildren(link, " is here");
  return link.href;
}

async function sendAll(file, url, bar, signal) {
  let at = 0;
  let failed = 0;
  while (at < file.size) {
    try {
      at = await sendPiece(url, file.slice(at, at + PIECE), at, bar, signal);
      failed = 0;
    } catch (error) {
      if (signal.aborted || error.isFinal || ++failed > RETRIES) throw error;
      await new Promise((wake) => setTimeout(wake, 250 * 2 ** failed));
      at = (await ask(url, { signal })).received;
    }
  }
}

// XMLHttpRequest, because fetch tells nothing of how far a body has come.
function sendPiece(url, piece, at, bar, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PATCH", url);
    request.setRequestHeader("Upload-Offset", at);
    request.upload.onprogress = (event) => (bar.value = at + event.loaded);
    request.onerror = () => reject(new Error("the connection broke"));
    request.onabort = () => reject(new Error("cancelled"));
    request.onload = () => {
      const told = JSON.parse(request.responseText || "{}");
      if (request.status < 300 || request.status === 409) return resolve(told.received);
      const error = new Error(told.detail || request.statusText);
      error.isFinal = request.status < 500;
      reject(error);
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(piece);
  });
}

async function ask(url, options) {
  const answer = await fetch(url, options);
  const told = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(told.detail), { isFinal: true });
  return told;
}

// A capture whose analysis is under way: its bar moves, then its page is read again.
for (const place of document.querySelectorAll("[data-follow]")) {
  const source = new EventSource(place.dataset.follow);
  source.addEventListener("state", (event) => {
    const state = JSON.parse(event.data);
    const bar = place.querySelector("progress");
    if (state.progress === null) bar.removeAttribute("value");
    else bar.value = state.progress;
    place.querySelector("[data-hellos]").textContent = state.hellos;
    place.querySelector("[data-state]").textContent = state.state;
    if (["done", "partial", "failed"].includes(state.state)) {
      source.close();
      location.reload();
    }
  });
}
