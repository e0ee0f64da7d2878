// What pages do by themselves: live parts, copying, one trial request, and a few keys. Everything else works without it.
"use strict";

// Live parts: each names the address of its events; an event is the part's new content.
for (const part of document.querySelectorAll("[data-live]")) {
  const source = new EventSource(part.dataset.live);
  const note = document.querySelector("[data-live-note]");
  const say = (text) => { if (note) note.textContent = text; };
  source.addEventListener("part", (event) => {
    // Not under the reader's hands.
    if (!part.contains(document.activeElement)) part.innerHTML = event.data;
    say("live");
  });
  source.addEventListener("error", () => say("not live; reload to see what is new"));
  window.addEventListener("pagehide", () => source.close());
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).textContent;
    const label = button.textContent;
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Plain-http names have no clipboard: through a selection, as ever.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
    }
    button.textContent = done ? "Copied" : "Select it and copy by hand";
    setTimeout(() => { button.textContent = label; }, 1500);
  });
}

// Characters that hide or reorder what a text says, made visible as on all pages.
const deceiving = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const shown = (text) => text.replace(deceiving, (c) => "‹U+" + c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0") + "›");

// What an answer or a refusal says, in any format; all of it where the format is not known.
const told = (text) => {
  let value;
  try { value = JSON.parse(text); } catch { return text; }
  if (value === null || typeof value !== "object") return text;
  const refused = value.error?.message ?? value.error ?? value.message;
  if (typeof refused === "string") return refused;
  const choice = value.choices?.[0]?.message?.content;
  if (typeof choice === "string") return choice;
  const items = Array.isArray(value.output) ? value.output.flatMap((item) => item?.content ?? []) : [];
  const lists = [value.content, items, value.candidates?.[0]?.content?.parts, value.output?.message?.content];
  const blocks = lists.find((list) => Array.isArray(list) && list.some((block) => typeof block?.text === "string"));
  return blocks ? blocks.map((block) => block?.text ?? "").join("") : text;
};

for (const form of document.querySelectorAll("form[data-try]")) {
  form.hidden = false;
  const out = form.querySelector("output");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const choice = form.elements.model.selectedOptions[0];
    const button = form.querySelector("button");
    button.disabled = true;
    out.textContent = "Asking " + choice.textContent.trim() + " …";
    const began = performance.now();
    try {
      const response = await fetch(choice.dataset.path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: choice.dataset.body,
      });
      const text = await response.text();
      const time = Math.round(performance.now() - began) + " ms";
      const id = response.headers.get("aperture-request-id");
      out.textContent = (response.ok ? "It works: " : "Refused: ") + response.status + " in " + time + ". ";
      if (id) {
        const link = document.createElement("a");
        link.href = "/ui/requests/" + id;
        link.textContent = "The request";
        out.append(link);
      }
      const said = document.createElement("pre");
      said.className = "body";
      said.tabIndex = 0;
      said.textContent = shown(told(text).slice(0, 2000));
      out.append(said);
    } catch (error) {
      out.textContent = "The gateway did not answer: " + error.message;
    }
    button.disabled = false;
  });
}

// A choice in a filter applies at once; text waits for Enter.
for (const choice of document.querySelectorAll("form.filter select")) {
  choice.addEventListener("change", () => choice.form.requestSubmit());
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^(input|select|textarea)$/i.test(event.target.tagName)) return;
  if (event.key === "/") {
    const field = document.querySelector("input[type=search]");
    if (field) { event.preventDefault(); field.focus(); field.select(); }
  }
  const way = { j: 1, k: -1 }[event.key];
  if (way) {
    const stops = [...document.querySelectorAll("main [data-stop]")];
    const at = stops.indexOf(document.activeElement);
    const next = stops[at < 0 ? (way > 0 ? 0 : stops.length - 1) : at + way];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
  }
});
