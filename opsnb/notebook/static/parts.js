// Small things that every view uses.
const { h, render, useState, useEffect, useRef, useLayoutEffect } = preact;
const html = preact.htm.bind(h);

/** A view's model, its state as a plain object, drawn anew when one of the names changes. */
function useModel(model, names) {
  const read = () => Object.fromEntries(names.map((name) => [name, model.get(name)]));
  const [state, setState] = useState(read);
  useEffect(() => {
    const changed = () => setState(read());
    names.forEach((name) => model.on(`change:${name}`, changed));
    changed();
    return () => names.forEach((name) => model.off(`change:${name}`, changed));
  }, [model]);
  return state;
}

/** Draw again whenever a store says so. */
function useStore(store) {
  const [, tick] = useState(0);
  useEffect(() => store.subscribe(() => tick((n) => n + 1)), [store]);
}

/** Seconds since something, counted here: the kernel's clock may differ from this one. */
function useAge(since) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  return since ? Math.max(0, Math.round((Date.now() - since) / 1000)) : 0;
}

function ageWords(seconds) {
  if (seconds < 2) return "now";
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without https the clipboard is not offered; the old way works everywhere.
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    area.style.opacity = "0";
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

/** A button that copies, and says that it did. */
function Copy({ text, label = "Copy", what = "" }) {
  const [said, say] = useState("");
  const copy = async () => {
    say((await copyText(text())) ? "Copied" : "Not copied");
    setTimeout(() => say(""), 1500);
  };
  return html`<button class="opsnb-button" onClick=${copy} aria-label=${what ? `${label} ${what}` : label}>
    ${said || label}
  </button>`;
}

/** JupyterLab takes keys of a focused widget for its own commands: `b` would insert a cell. */
function keepKeys(el) {
  const keep = (event) => {
    const command = (event.ctrlKey || event.metaKey) && event.key !== "Enter";
    if (!command) event.stopPropagation();
  };
  el.addEventListener("keydown", keep);
  return () => el.removeEventListener("keydown", keep);
}

/** Mark the parts of a text that a search found. */
function marked(text, query) {
  if (!query) return text;
  const found = [];
  const low = text.toLowerCase();
  let from = 0;
  for (let at = low.indexOf(query); at >= 0; at = low.indexOf(query, from)) {
    found.push(text.slice(from, at), html`<mark>${text.slice(at, at + query.length)}</mark>`);
    from = at + query.length;
  }
  return [...found, text.slice(from)];
}
