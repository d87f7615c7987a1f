// The log of a change: up to 50,000 lines are kept, and only those in sight are in the page.
const KEPT = 50000;
const SPARE = 5000;
const ROW = 18;

/** The lines of one change, counted from its first. */
class Lines {
  constructor() {
    this.first = 0;
    this.items = [];
    this.watchers = new Set();
    this.drawing = false;
  }
  get end() {
    return this.first + this.items.length;
  }
  clear() {
    this.first = 0;
    this.items = [];
    this.changed();
  }
  /** Take a batch; false when lines before it are missing here, and may be asked for. */
  add(first, lines, again = false) {
    const missing = first > this.end && this.items.length > 0;
    if (missing && !again) return false;
    if (missing || !this.items.length || first < this.first) {
      // A view that has just come may be told what is new before it is told what was.
      this.first = first;
      this.items = [];
    }
    for (let n = Math.max(0, this.end - first); n < lines.length; n++) this.items.push(lines[n]);
    const over = this.items.length - KEPT;
    if (over > SPARE) {
      this.items.splice(0, over);
      this.first += over;
    }
    this.changed();
    return true;
  }
  changed() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.watchers.forEach((watch) => watch());
    });
  }
  subscribe(watch) {
    this.watchers.add(watch);
    return () => this.watchers.delete(watch);
  }
  text() {
    return this.items.map(([at, , text]) => `${at} ${text}`).join("\n");
  }
}

const SIGNS = { hook: "│ ", check: "│ ", warning: "! ", error: "✕ ", end: "✓ ", switch: "⇒ ", plan: "plan: " };

/** Which lines hold a text; only what is new is searched again. */
function useSearch(lines, query) {
  const found = useRef({ query: "", from: 0, upTo: 0, at: [] });
  const now = found.current;
  if (now.query !== query || now.upTo > lines.end || now.from > lines.first) {
    found.current = { query, from: lines.first, upTo: lines.first, at: [] };
  }
  const hits = found.current;
  if (query) {
    for (let n = Math.max(hits.upTo, lines.first); n < lines.end; n++) {
      if (lines.items[n - lines.first][2].toLowerCase().includes(query)) hits.at.push(n);
    }
    hits.upTo = lines.end;
    if (hits.at.length && hits.at[0] < lines.first) hits.at = hits.at.filter((n) => n >= lines.first);
  }
  return hits.at;
}

function Log({ lines, running, download, downloading }) {
  useStore(lines);
  const pane = useRef(null);
  const [top, setTop] = useState(0);
  const [follow, setFollow] = useState(true);
  const [asked, setAsked] = useState("");
  const [hit, setHit] = useState(-1);
  const set = useRef(0); // where we scrolled to ourselves, so that it is not taken for a wish
  const first = useRef(lines.first);
  const query = asked.toLowerCase();
  const hits = useSearch(lines, query);
  const height = pane.current ? pane.current.clientHeight : 200;

  const scrollTo = (value) => {
    const el = pane.current;
    if (!el) return; // drawn once more after the view was closed
    el.scrollTop = value;
    set.current = el.scrollTop;
    setTop(el.scrollTop);
  };
  useLayoutEffect(() => {
    const gone = lines.first - first.current;
    first.current = lines.first;
    if (follow) scrollTo(lines.items.length * ROW);
    else if (gone > 0 && pane.current) scrollTo(Math.max(0, pane.current.scrollTop - gone * ROW));
  });
  const scrolled = () => {
    const el = pane.current;
    if (!el) return;
    if (Math.abs(el.scrollTop - set.current) < 2) return;
    set.current = el.scrollTop;
    setTop(el.scrollTop);
    setFollow(el.scrollHeight - el.scrollTop - el.clientHeight < ROW);
  };
  const go = (by) => {
    if (!hits.length) return;
    const next = hit < 0 ? (by > 0 ? 0 : hits.length - 1) : (hit + by + hits.length) % hits.length;
    setHit(next);
    setFollow(false);
    scrollTo(Math.max(0, (hits[next] - lines.first) * ROW - height / 2));
  };
  const from = Math.max(0, Math.floor(top / ROW) - 10);
  const until = Math.min(lines.items.length, Math.ceil((top + height) / ROW) + 10);
  const rows = [];
  for (let n = from; n < until; n++) {
    const [at, kind, text] = lines.items[n];
    const here = hits[hit] === n + lines.first ? " opsnb-here" : "";
    rows.push(html`<div key=${n + lines.first} class=${`opsnb-line opsnb-line-${kind}${here}`}
      style=${{ top: `${n * ROW}px` }}><span class="opsnb-at">${at}</span> ${SIGNS[kind] || ""}${marked(text, query)}</div>`);
  }
  const key = (event) => {
    if (event.key === "Enter") go(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") setAsked("");
  };
  const found = hits.length ? `${hit < 0 ? "" : `${hit + 1} of `}${hits.length.toLocaleString("en")}` : "none";
  return html`<div class="opsnb-log">
    <div class="opsnb-row">
      ${running && html`<button class="opsnb-button" onClick=${() => setFollow(!follow)}>
        ${follow ? "Pause" : "Follow"}
      </button>`}
      <input class="opsnb-input" type="search" placeholder="Search the log" aria-label="Search the log"
        value=${asked} onInput=${(event) => { setAsked(event.target.value); setHit(-1); }} onKeyDown=${key} />
      ${query && html`<span class="opsnb-mute" role="status">${found}</span>
        <button class="opsnb-button" aria-label="Previous match" onClick=${() => go(-1)} disabled=${!hits.length}>↑</button>
        <button class="opsnb-button" aria-label="Next match" onClick=${() => go(1)} disabled=${!hits.length}>↓</button>`}
      <span class="opsnb-gap"></span>
      <span class="opsnb-mute">${lines.end.toLocaleString("en")} lines${lines.first ? `, the last ${lines.items.length.toLocaleString("en")} here` : ""}</span>
      <${Copy} text=${() => lines.text()} what="the log" />
      <button class="opsnb-button" onClick=${download} disabled=${downloading} aria-label="Download log">
        ${downloading ? "Downloading…" : "Download"}
      </button>
    </div>
    <div class="opsnb-pane" style=${running ? {} : { height: `${Math.min(12, lines.items.length) * ROW + 4}px` }} ref=${pane} onScroll=${scrolled} tabindex="0" role="log" aria-live="off"
      aria-label="Log of the change">
      <div class="opsnb-sheet" style=${{ height: `${lines.items.length * ROW}px` }}>${rows}</div>
    </div>
  </div>`;
}
