// A plan, what will move, and the confirmation that the environment asks for.
const COLORS = { added: "good", changed: "warning", mode: "brand", removed: "bad" };

function Counts({ changes, unchanged }) {
  return html`<div class="opsnb-mono opsnb-counts">
      ${changes.length ? "" : "nothing changes"}
      ${changes.map((change, n) => html`${n ? " · " : ""}<span class=${`opsnb-${COLORS[change.word]}`}>${change.sign}${change.count} ${change.word}</span>`)}
      <span> · ${unchanged} unchanged</span>
    </div>`;
}

function Paths({ changes }) {
  return changes.map((change) => html`<details key=${change.word}>
      <summary>${change.count} ${change.word}</summary>
      <pre class="opsnb-paths" tabindex="0" aria-label=${`Paths ${change.word}`}>${change.paths.map((path) => html`<span class=${`opsnb-${COLORS[change.word]}`}>${change.sign}</span> ${path}${"\n"}`)}${change.more ? `and ${change.more.toLocaleString("en")} more` : ""}</pre>
    </details>`);
}

/** Now and after, side by side: which directory the link leads to. */
function Move({ plan, rows }) {
  const listed = rows.filter((row) => row.name === plan.name || row.name === plan.previous);
  const names = listed.map((row) => row.name);
  if (!names.includes(plan.name)) names.unshift(plan.name);
  const gone = new Set(plan.removes.map((release) => release.name));
  const isNew = !rows.some((row) => row.name === plan.name);
  const column = (title, live, after) => html`<div class="opsnb-moment">
    <div class="opsnb-mute">${title}</div>
    ${names.filter((name) => after || !isNew || name !== plan.name).map((name) => html`<div class=${name === live ? "opsnb-brand opsnb-strong" : ""}>
      <span class="opsnb-arrow">${name === live ? "current →" : ""}</span> ${name}${after && name === plan.marks_bad ? html` <span class="opsnb-bad">✕ bad</span>` : ""}${after && isNew && name === plan.name ? " new" : ""}</div>`)}
    ${after ? [...gone].map((name) => html`<div class="opsnb-bad"><span class="opsnb-arrow"></span> <s>${name}</s> removed</div>`) : ""}
    ${!after && !plan.previous ? html`<div><span class="opsnb-arrow">current →</span> nothing yet</div>` : ""}
  </div>`;
  return html`<div class="opsnb-move opsnb-mono" role="group" aria-label="What will move">
    ${column("now", plan.previous, false)}${column("after", plan.name, true)}
  </div>`;
}

/** Ask as the environment wants it: not at all, by a second click, or by typing the server's name. */
function Confirm({ place, label, doing, allowed, reason, onYes, kind = "go" }) {
  const [sure, setSure] = useState(false);
  const [typed, setTyped] = useState("");
  const no = useRef(null);
  // Once, when it is asked, and on what changes nothing: the console is drawn anew while you read.
  useEffect(() => { if (sure) no.current?.focus(); }, [sure]);
  const style = `opsnb-button opsnb-${kind}`;
  const say = reason && html`<span class="opsnb-mute">${reason}</span>`;
  const go = (extra) => { setSure(false); setTyped(""); onYes(extra); };
  if (place.confirm === "type-name") {
    const right = allowed && typed === place.server;
    return html`<div class="opsnb-row">
      <label>Type <b>${place.server}</b> to ${doing}
        <input class="opsnb-input opsnb-typed" aria-label=${`Type ${place.server} to ${doing}`} value=${typed} disabled=${!allowed}
          autocomplete="off" spellcheck=${false} onInput=${(event) => setTyped(event.target.value)}
          onKeyDown=${(event) => event.key === "Enter" && right && go({ typed })} /></label>
      <button class=${style} disabled=${!right} onClick=${() => go({ typed })}>${label}</button>${say}
    </div>`;
  }
  if (place.confirm === "click" && sure && allowed) {
    return html`<div class="opsnb-row" role="group" aria-label="Confirm">
      <span>Really ${doing}?</span>
      <button class=${style} onClick=${() => go({ sure: true })}>Yes, ${label.toLowerCase()}</button>
      <button class="opsnb-button" ref=${no} onClick=${() => setSure(false)}>No</button>
    </div>`;
  }
  const press = () => (place.confirm === "click" ? setSure(true) : go({ sure: true }));
  return html`<div class="opsnb-row"><button class=${style} disabled=${!allowed} onClick=${press}>${label}</button>${say}</div>`;
}

const VERBS = { deploy: "Deploy", rollback: "Roll back", prune: "Prune" };

function Plan({ plan, rows, place, busy, ask }) {
  if (plan.nothing) return html`<div class="opsnb-card opsnb-plan" role="status">✓ ${plan.nothing}
    <div class="opsnb-row"><button class="opsnb-button" onClick=${() => ask("drop plan")}>Close</button></div></div>`;
  const label = VERBS[plan.verb];
  const allowed = place.unlocked && !busy && !plan.refused;
  const reason = place.barred || plan.refused || (!place.unlocked ? "Read-only: press Unlock first." : busy ? "A change is running." : "");
  const title = { deploy: `Deploy ${plan.name}`, rollback: `Roll back to ${plan.name}`, prune: "Prune" }[plan.verb];
  const shown = plan.facts.filter((fact) => !["current", "files", "remove", "keep"].includes(fact.title));
  return html`<div class="opsnb-card opsnb-plan" aria-label="Plan" role="group">
    <div class="opsnb-head"><b>${title}</b><span class="opsnb-gap"></span>
      <button class="opsnb-button" aria-label="Discard the plan" title="Discard the plan" onClick=${() => ask("drop plan")}>×</button></div>
    <div class="opsnb-mute">a plan: nothing has changed yet</div>
    ${plan.compared && html`<${Counts} changes=${plan.changes} unchanged=${plan.unchanged} />`}
    ${plan.moves && html`<${Move} plan=${plan} rows=${rows} />`}
    <${Confirm} key=${plan.verb + plan.name} place=${place} label=${label} kind=${plan.verb === "prune" ? "stop" : "go"}
      doing=${`${label.toLowerCase()} ${plan.verb === "deploy" ? "to" : "on"} ${place.server}${place.environment ? ` (${place.environment})` : ""}`}
      allowed=${allowed} reason=${reason} onYes=${(extra) => ask("apply", extra)} />
    <dl class="opsnb-list">${shown.map((fact) => html`<div class=${fact.kind === "warning" ? "opsnb-warning" : ""}><dt>${fact.title}</dt><dd>${fact.text}</dd></div>`)}
      ${plan.removes.map((release) => html`<div><dt>remove</dt><dd><span class="opsnb-bad opsnb-mono">${release.name}</span> ${release.why}</dd></div>`)}
      ${plan.keeps.map((release) => html`<div><dt>keep</dt><dd><span class="opsnb-mono">${release.name}</span> ${release.why}</dd></div>`)}
    </dl>
    ${plan.compared && html`<${Paths} changes=${plan.changes} />`}
  </div>`;
}
