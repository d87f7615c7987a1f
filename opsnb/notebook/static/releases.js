// The table of releases: one row is selected, by mouse or keyboard, and stays so over a refresh.
function Disk({ disk }) {
  if (!disk) return html`<span class="opsnb-mute">…</span>`;
  const width = (share) => ({ width: `${Math.max(share > 0 ? 2 : 0, share * 100)}%` });
  return html`<span class="opsnb-disk" aria-hidden="true"><i style=${width(disk.own)}></i><i style=${width(disk.rest)}></i></span>
    <span class="opsnb-number">${disk.words}</span>`;
}

function State({ row }) {
  const extra = row.live && row.state !== "good" ? `, ${row.state}` : "";
  const pin = row.pinned && html` <span class="opsnb-pill opsnb-purple">◆ pinned</span>`;
  if (row.live) return html`<span class="opsnb-pill opsnb-green">● live${extra}</span>${pin}`;
  const kinds = { bad: ["red", "✕ "], unfinished: ["yellow", "◌ "], unconfirmed: ["yellow", "? "], good: ["grey", ""] };
  const [color, sign] = kinds[row.state] || ["grey", ""];
  return html`<span class=${`opsnb-pill opsnb-${color}`}>${sign}${row.state}</span>${pin}`;
}

const COLUMNS = [
  ["release", ""], ["state", ""], ["revision", "opsnb-wide"], ["by", "opsnb-wider"],
  [html`<span class="opsnb-wider">made (UTC) · </span>age`, "opsnb-wide"],
  ["files", "opsnb-right opsnb-wider"], ["disk: own / all", ""],
];

function Releases({ rows, shared, selected, select, act }) {
  const body = useRef(null);
  const at = rows.findIndex((row) => row.name === selected);
  const reach = (n) => {
    const to = Math.min(rows.length - 1, Math.max(0, n));
    select(rows[to].name);
    const el = body.current.children[to];
    el.focus({ preventScroll: true });
    el.scrollIntoView({ block: "nearest" });
  };
  const key = (event) => {
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1, PageDown: at + 10, PageUp: at - 10 };
    if (event.key in moves) reach(moves[event.key]);
    else if (event.key === "Enter") act();
    else return;
    event.preventDefault();
  };
  if (!rows.length) return html`<div class="opsnb-mute opsnb-empty">No release yet: plan the first one.</div>`;
  return html`<div class="opsnb-scroll" tabindex="-1">
    <table role="grid" class="opsnb-grid" aria-label="Releases" aria-rowcount=${rows.length + 1}>
      <thead><tr>${COLUMNS.map(([name, kind]) => html`<th scope="col" class=${kind}>${name}</th>`)}</tr></thead>
      <tbody ref=${body} onKeyDown=${key}>
        ${rows.map((row) => html`<tr key=${row.name} role="row" data-name=${row.name} aria-selected=${row.name === selected}
            tabindex=${row.name === selected || (at < 0 && row === rows[0]) ? 0 : -1}
            class=${row.live ? "opsnb-live" : ""} onClick=${() => select(row.name)} title=${row.note}>
          <td class="opsnb-mono">${row.name}</td>
          <td><${State} row=${row} /></td>
          <td class="opsnb-mono opsnb-wide" title=${row.subject}>${row.revision}</td>
          <td class="opsnb-wider">${row.by}</td>
          <td class="opsnb-wide" title=${row.when}><span class="opsnb-wider">${row.when} · </span>${row.age}</td>
          <td class="opsnb-right opsnb-number opsnb-wider">${row.files}</td>
          <td><${Disk} disk=${row.disk} /></td>
        </tr>`)}
      </tbody>
    </table>
  </div>
  ${shared && html`<div class="opsnb-row opsnb-mute">shared/ <${Disk} disk=${shared} /> in ${shared.files} files, beside the releases</div>`}`;
}

function Tree({ branches }) {
  const releases = branches.filter((branch) => branch.trunk.startsWith("│"));
  const widest = (pick) => Math.max(0, ...releases.map((branch) => (pick(branch) || "").length));
  const name = widest((b) => b.name);
  const widths = [0, 1].map((n) => widest((b) => b.words[n]));
  const words = (branch) => {
    if (!branch.trunk.startsWith("│")) return branch.words.join("  ");
    const sign = { live: "●", bad: "✕" }[branch.kind] || " ";
    const [state, ...rest] = branch.words;
    return `${sign} ${state.padEnd(widths[0])}  ${rest.map((word, n) => word.padStart(widths[n + 1])).join("  ")}`;
  };
  return html`<pre class="opsnb-tree" role="img" aria-label="What stands on the server">${branches.map((branch) => html`<span
    class=${`opsnb-is-${branch.kind}`}><span class="opsnb-trunk">${branch.trunk}</span>${branch.trunk.startsWith("│") ? branch.name.padEnd(name) : branch.name}${branch.words.length ? "  " : ""}${words(branch).trimEnd()}${"\n"}</span>`)}</pre>`;
}
