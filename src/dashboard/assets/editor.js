
// The settings editor: numbers and marks beside the text, what is wrong with it while it is typed, and keys. Without it the
// same comes with the review.
{
  const form = document.getElementById("settings-form");
  const area = document.getElementById("settings-text");
  if (form && area) edit(form, area);
}

function edit(form, area) {
  const gutter = document.getElementById("settings-gutter");
  const summary = document.getElementById("settings-summary");
  const changed = document.getElementById("settings-changed");
  const base = form.elements.base.value;
  const before = base || area.value;
  let leaving = false;
  let typing = false;
  let asked = null;
  let timer = null;

  // One number a line; the text is as high as it is long, so that nothing scrolls apart.
  const number = () => {
    const lines = area.value.split("\n").length;
    area.rows = lines + 1;
    while (gutter.children.length < lines) {
      const line = document.createElement("span");
      line.id = "L" + (gutter.children.length + 1);
      line.textContent = gutter.children.length + 1;
      gutter.append(line);
    }
    while (gutter.children.length > lines) gutter.lastElementChild.remove();
  };

  const mark = () => {
    for (const line of gutter.children) {
      line.className = "";
      line.removeAttribute("title");
    }
    for (const item of document.querySelectorAll("#settings-problems [data-line]")) {
      const line = gutter.children[Math.min(item.dataset.line, gutter.children.length) - 1];
      if (!line) continue;
      if (line.className !== "bad") line.className = item.dataset.weight;
      line.title = (line.title ? line.title + "\n" : "") + item.querySelector("p").textContent;
    }
  };

  const say = (text) => {
    if (summary.textContent !== text) summary.textContent = text;
    document.getElementById("settings-jump").textContent = text;
  };

  // The problems of the text as it is; the answer to an older text is not waited for.
  const check = async () => {
    if (asked) asked.abort();
    const mine = asked = new AbortController();
    const fields = new URLSearchParams();
    for (const name of ["token", "base"]) fields.set(name, form.elements[name].value);
    fields.set("text", area.value);
    try {
      const response = await fetch(form.dataset.check, { method: "POST", body: fields, signal: mine.signal });
      if (response.status === 403) throw new Error("the gateway was started again; Review changes goes on");
      if (!response.ok) throw new Error(await response.text());
      const part = document.createElement("template");
      part.innerHTML = await response.text();
      const problems = part.content.getElementById("settings-problems");
      say(problems.dataset.summary);
      changed.textContent = base ? problems.dataset.changed : "";
      // Not under the reader's hands.
      const old = document.getElementById("settings-problems");
      if (!old.contains(document.activeElement)) old.replaceWith(problems);
      mark();
    } catch (error) {
      if (error.name !== "AbortError") say("not checked: " + error.message.slice(0, 120));
    }
  };

  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(check, 350);
  };

  // As if it were typed, so that it can be undone.
  const insert = (text) => {
    if (!document.execCommand("insertText", false, text)) area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
  };
  const lineStart = (at) => area.value.lastIndexOf("\n", at - 1) + 1;
  const indentOf = (at) => /^[ \t]*/.exec(area.value.slice(lineStart(at)))[0];
  const unit = (/^([ \t]+)\S/m.exec(before) || [, "  "])[1];
  const step = new RegExp("^(\\t| {1," + unit.length + "})");

  const shift = (out) => {
    const start = lineStart(area.selectionStart);
    const end = area.selectionEnd;
    const lines = area.value.slice(start, end).split("\n");
    const moved = lines.map((line) => out ? line.replace(step, "") : unit + line).join("\n");
    area.setSelectionRange(start, end);
    insert(moved);
    area.setSelectionRange(start, start + moved.length);
  };

  area.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    const many = area.selectionStart !== area.selectionEnd;
    if (event.key === "Escape") {
      typing = false;
    } else if (event.key === "Tab" && plain && typing) {
      // Only while somebody types: on the way through the page Tab goes on, and after Esc.
      event.preventDefault();
      if (many || event.shiftKey) shift(event.shiftKey);
      else insert(unit);
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit(document.getElementById("settings-review"));
    } else if (event.key === "Enter" && plain && !event.shiftKey) {
      event.preventDefault();
      const opened = /[{[]\s*$/.test(area.value.slice(lineStart(area.selectionStart), area.selectionStart));
      insert("\n" + indentOf(area.selectionStart) + (opened ? unit : ""));
    } else if (plain && event.key.length === 1) {
      typing = true;
    }
  });
  area.addEventListener("pointerdown", () => { typing = true; });
  area.addEventListener("blur", () => { typing = false; });
  area.addEventListener("input", () => {
    number();
    later();
  });

  // A problem leads to its place in the text, not only to the line's number.
  form.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#L']");
    if (!link) return;
    event.preventDefault();
    const item = link.closest("[data-line]");
    const line = Number(link.hash.slice(2));
    const lines = area.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    const column = item ? Math.max(0, Number(item.dataset.column) - 1) : 0;
    const at = Math.min(start + column, start + (lines[line - 1] || "").length);
    gutter.children[Math.min(line, gutter.children.length) - 1].scrollIntoView({ block: "center" });
    area.focus({ preventScroll: true });
    area.setSelectionRange(at, start + (lines[line - 1] || "").length);
  });

  form.addEventListener("submit", () => { leaving = true; });
  window.addEventListener("pageshow", () => { leaving = false; });
  window.addEventListener("beforeunload", (event) => {
    if (!leaving && area.value !== before) event.preventDefault();
  });

  number();
  mark();
  if (area.value !== before) later();
}
