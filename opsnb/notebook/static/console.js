// The console: pick, look, plan, confirm, watch.
const PARTS = ["place", "site", "glance", "plan", "job", "said", "ran", "audit", "diff", "busy"];
const UNHEARD = 1500; // ms until a click that the kernel has not heard of is explained
const GLANCE = 20; // s between two quiet looks

function useAsking(model, store) {
  const [pending, setPending] = useState({});
  const heard = useRef(new Set());
  const next = useRef(Math.floor(Math.random() * 1e9));
  useEffect(() => {
    const changed = () => {
      const open = (model.get("busy") || {}).open || [];
      open.forEach((id) => heard.current.add(id));
      setPending((now) => Object.fromEntries(Object.entries(now).filter(([id]) => !heard.current.has(Number(id)))));
    };
    model.on("change:busy", changed);
    return () => model.off("change:busy", changed);
  }, [model]);
  const ask = (what, extra = {}) => {
    const id = ++next.current;
    if (!store.send({ do: what, id, ...extra })) return;
    if (what === "glance") return;
    setTimeout(() => {
      if (!heard.current.has(id)) setPending((now) => ({ ...now, [id]: what }));
    }, UNHEARD);
  };
  return [ask, Object.values(pending)];
}

function Head({ place, site, job, glance, busy, ask }) {
  const seen = useRef({ at: 0, since: 0 });
  const at = Math.max(site ? site.at : 0, glance && site ? glance.at : 0);
  if (at !== seen.current.at) seen.current = { at, since: Date.now() };
  const age = useAge(seen.current.since);
  const environment = place.environments.find((one) => one.name === place.environment);
  const running = job && job.state === "running" && job.server === place.server;
  const live = running ? job.live : site && site.live;
  const clock = glance && site && glance.at > site.at ? glance.clock : site && site.clock;
  return html`<div class=${`opsnb-bar-top opsnb-edge-${environment.color} ${environment.guarded ? "opsnb-guarded" : ""}`}>
    <b>${place.project}</b>
    <select class="opsnb-select" aria-label="environment" value=${place.environment}
      onChange=${(event) => ask("pick", { environment: event.target.value })}>
      ${place.environments.map((one) => html`<option value=${one.name}>${one.guarded ? "▲ " : ""}${one.word}</option>`)}
    </select>
    <select class="opsnb-select" aria-label="server" value=${place.server} onChange=${(event) => ask("pick", { server: event.target.value })}>
      ${place.servers.map((name) => html`<option value=${name}>${name}</option>`)}
    </select>
    <span class=${`opsnb-pill opsnb-${environment.color}`}>${environment.guarded ? `▲ ${environment.word.toUpperCase()}` : `○ ${environment.word}`}</span>
    ${live ? html`<span class="opsnb-pill opsnb-green">● live <span class="opsnb-mono">${live}</span></span>` : site ? html`<span class="opsnb-pill opsnb-grey">nothing is live</span>` : ""}
    <span class="opsnb-gap"></span>
    <span class=${`opsnb-pill opsnb-${place.unlocked ? "orange" : "grey"}`}>${place.unlocked ? "◇ changes allowed" : "read-only"}</span>
    <button class="opsnb-button" onClick=${() => ask("refresh")}>Refresh</button>
    ${place.unlocked
      ? html`<button class="opsnb-button" title="Allow no more changes from here" onClick=${() => ask("lock")}>Read-only</button>`
      : html`<button class="opsnb-button" disabled=${Boolean(place.barred)} title=${place.barred || "Allow changes; each is still planned and confirmed"} onClick=${() => ask("unlock")}>Unlock</button>`}
    <div class="opsnb-sub opsnb-mute">
      <span class="opsnb-mono">${place.address}</span>
      ${site && html`<span>${site.facts.join(" · ")}</span>`}
      <span class="opsnb-number" role="status" aria-live="off">${busy.length ? `${DOING[busy[0]] || "working"}…` : site ? `as of ${clock}, ${ageWords(age)}` : ""}</span>
    </div>
  </div>`;
}

const DOING = {
  begin: "looking", refresh: "looking", pick: "connecting", glance: "looking", plan: "planning", "plan rollback": "planning",
  "plan prune": "planning", apply: "beginning", audit: "reading the log", diff: "comparing",
};

function Said({ said, waiting }) {
  const [open, setOpen] = useState(false);
  const [closed, close] = useState(null);
  useEffect(() => {
    if (!said || said.kind !== "done") return undefined;
    const timer = setTimeout(() => close(said), 6000);
    return () => clearTimeout(timer);
  }, [said]);
  const kinds = { error: ["bad", "✕"], warning: ["warning", "!"], done: ["good", "✓"] };
  const [kind, sign] = (said && kinds[said.kind]) || ["", ""];
  return html`<div class="opsnb-said" aria-live="polite">
    ${waiting.length ? html`<div class="opsnb-warning">! The kernel is busy with a cell: “${waiting[waiting.length - 1]}” is done when it is free.</div>` : ""}
    ${said && said !== closed ? html`<div class=${`opsnb-${kind} opsnb-answer`} role=${said.kind === "error" ? "alert" : "status"}>
      <span><b>${sign} ${said.text}</b>${said.hint && html` <span class="opsnb-plain">${said.hint}</span>`} <span class="opsnb-mute">${said.clock}</span></span>
      ${said.trace && html`<button class="opsnb-button" onClick=${() => setOpen(!open)}>${open ? "Hide the trace" : "Show the trace"}</button>`}
      <button class="opsnb-button" aria-label="Close the message" onClick=${() => close(said)}>×</button>
    </div>` : ""}
    ${said && said.trace && open && said !== closed ? html`<pre class="opsnb-paths" tabindex="0">${said.trace}</pre>` : ""}
  </div>`;
}

function Selected({ row, live, place, busy, ask }) {
  const [why, setWhy] = useState("");
  const [pinning, setPinning] = useState(false);
  if (!row) return html`<div class="opsnb-row opsnb-mute">Select a release to roll back to it.</div>`;
  const changeable = place.unlocked && !busy;
  const pin = row.pinned ? "unpin" : "pin";
  return html`<div class="opsnb-selected" role="group" aria-label="The selected release">
    <div class="opsnb-row">
      <span class="opsnb-mono opsnb-strong">${row.name}</span>${row.note && html`<span class="opsnb-mute">${row.note}</span>`}
      <span class="opsnb-gap"></span>
      ${row.live ? html`<span class="opsnb-mute">is what visitors see</span>` : html`
        <input class="opsnb-input" placeholder="reason, for the record" aria-label="Reason for the rollback" value=${why}
          onInput=${(event) => setWhy(event.target.value)} />
        <button class="opsnb-button" disabled=${Boolean(row.back)} title=${row.back} onClick=${() => ask("plan rollback", { to: row.name, why })}>Roll back…</button>
        <button class="opsnb-button" disabled=${!live || !row.recorded} onClick=${() => ask("diff", { old: live, new: row.name })}>Compare with live</button>`}
      ${row.recorded && html`<button class="opsnb-button" aria-expanded=${pinning} onClick=${() => setPinning(!pinning)}>${row.pinned ? "Unpin…" : "Pin…"}</button>`}
    </div>
    ${row.back && !row.live && html`<div class="opsnb-mute">No rollback there: ${row.back}</div>`}
    ${pinning && row.recorded && html`<${Confirm} key=${row.name} place=${place} label=${pin === "pin" ? "Pin" : "Unpin"} kind="plain"
      doing=${`${pin} ${row.name}`} allowed=${changeable}
      reason=${!place.unlocked ? "Read-only: press Unlock first." : row.pinned ? "Prune leaves it alone." : "A pinned release is never pruned."}
      onYes=${(extra) => { setPinning(false); ask(pin, { name: row.name, ...extra }); }} />`}
  </div>`;
}

function Source({ place, busy, ask }) {
  const [source, setSource] = useState(place.source || (place.git ? "" : place.sources[0] || ""));
  const [revision, setRevision] = useState("");
  const [force, setForce] = useState(false);
  const plan = () => ask("plan", { source, revision, force });
  const key = (event) => event.key === "Enter" && plan();
  return html`<div class="opsnb-change">
    <div class="opsnb-row">
      <label class="opsnb-field">source <input class="opsnb-input opsnb-mono" aria-label="source" list="opsnb-sources" placeholder=${place.git} value=${source}
        onInput=${(event) => setSource(event.target.value)} onKeyDown=${key} /></label>
      <datalist id="opsnb-sources">${place.sources.map((one) => html`<option value=${one}></option>`)}</datalist>
      <label class="opsnb-field">revision <input class="opsnb-input opsnb-mono opsnb-short" aria-label="revision" value=${revision}
        placeholder="optional" onInput=${(event) => setRevision(event.target.value)} onKeyDown=${key} /></label>
    </div>
    ${place.sources.length > 1 && html`<div class="opsnb-row" role="group" aria-label="Known sources">
      ${place.sources.map((one) => html`<button class="opsnb-button" aria-pressed=${one === source} onClick=${() => setSource(one)}>${one.split("/").filter(Boolean).pop()}</button>`)}
    </div>`}
    <div class="opsnb-row">
      <button class="opsnb-button" disabled=${!(source || place.git) || busy} onClick=${plan}>Plan</button>
      <span class="opsnb-mute">reads only; nothing changes</span>
      <label class="opsnb-mute"><input type="checkbox" checked=${force} onChange=${(event) => setForce(event.target.checked)} /> even if nothing changed</label>
    </div>
  </div>`;
}

function Prune({ place, ask }) {
  const [keep, setKeep] = useState(place.keep);
  return html`<div class="opsnb-row">
    <label class="opsnb-field">keep <input class="opsnb-input opsnb-tiny" type="number" min="1" aria-label="good releases to keep" value=${keep}
      onInput=${(event) => setKeep(Number(event.target.value))} /> good releases</label>
    <button class="opsnb-button" onClick=${() => ask("plan prune", { keep })}>Plan a prune</button>
  </div>`;
}

function Hold({ place, site, busy, ask }) {
  const [why, setWhy] = useState("");
  const allowed = place.unlocked && !busy;
  const reason = place.barred || (place.unlocked ? "" : "Read-only: press Unlock first.");
  if (site.hold || site.holder) {
    const undo = site.frozen ? "unfreeze" : "unhold";
    return html`<div>
      <div class="opsnb-warning">${site.hold ? `${site.frozen ? "Frozen" : "Held back"} by ${site.hold}` : `A change is running: ${site.holder}`}</div>
      <${Confirm} key="unhold" place=${place} label=${site.frozen ? "Unfreeze" : "Release"} kind="plain" doing=${`${site.frozen ? "unfreeze" : "release"} ${place.server}`} allowed=${allowed} reason=${reason}
        onYes=${(extra) => ask(undo, extra)} />
      <${Confirm} key="force" place=${place} label="Release by force" kind="stop" doing=${`take it away from whoever has it`} allowed=${allowed}
        reason=${allowed ? "Also what somebody else placed; a running change can then do no more." : reason} onYes=${(extra) => ask(undo, { force: true, ...extra })} />
    </div>`;
  }
  return html`<div>
    <div class="opsnb-row"><label class="opsnb-field">reason <input class="opsnb-input" aria-label="reason for the hold" value=${why}
      placeholder="database migration until 16:00" onInput=${(event) => setWhy(event.target.value)} /></label></div>
    <${Confirm} key="hold" place=${place} label="Hold back" kind="plain" doing=${`hold ${place.server} back`} allowed=${allowed && Boolean(why.trim())}
      reason=${reason || (why.trim() ? "" : "A hold needs a reason.")} onYes=${(extra) => ask("hold", { why, ...extra })} />
    <${Confirm} key="freeze" place=${place} label="Freeze" kind="plain" doing=${`freeze ${place.server}, but for a rollback`} allowed=${allowed && Boolean(why.trim())}
      reason=${reason || (why.trim() ? "A rollback may still pass." : "A freeze needs a reason.")} onYes=${(extra) => ask("freeze", { why, ...extra })} />
  </div>`;
}

function Adopt({ place, site, busy, ask }) {
  return html`<div class="opsnb-card">
    <b>Laid out by ${site.foreign}.</b> You can look at everything; nothing was touched. Adopting gives these releases records,
    and changes nothing of theirs.
    <${Confirm} key="adopt" place=${place} label="Adopt" doing=${`adopt the releases on ${place.server}`} allowed=${place.unlocked && !busy}
      reason=${place.unlocked ? "" : "Read-only: press Unlock first."} onYes=${(extra) => ask("adopt", extra)} />
  </div>`;
}

function Audit({ audit }) {
  return html`<div class=${audit.holds ? "opsnb-good" : "opsnb-bad"}>${audit.holds ? "✓" : "✕"} ${audit.count} entries; ${audit.verdict}</div>
    <div class="opsnb-scroll" tabindex="0" role="region" aria-label="Audit log"><table class="opsnb-grid">
      <thead><tr>${["at (UTC)", "what", "release", "by", "details"].map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>${audit.entries.map((entry) => html`<tr><td class="opsnb-number">${entry.at}</td><td>${entry.what}</td><td class="opsnb-mono">${entry.release}</td>
        <td>${entry.by}${entry.host && `@${entry.host}`}</td><td class="opsnb-mute opsnb-clip" title=${entry.details}>${entry.details}</td></tr>`)}</tbody>
    </table></div>`;
}

function Ran({ ran }) {
  const [open, setOpen] = useState(false);
  const last = ran[ran.length - 1] || "";
  return html`<div class="opsnb-foot">
    <div class="opsnb-row"><span class="opsnb-mute">ran</span><code class="opsnb-ran">${last}</code><span class="opsnb-gap"></span>
      <button class="opsnb-button" aria-expanded=${open} onClick=${() => setOpen(!open)}>${open ? "Hide the history" : `History (${ran.length})`}</button>
      <${Copy} text=${() => (open ? ran.join("\n") : last)} what=${open ? "the whole history" : "the line of Python"} /></div>
    ${open && html`<pre class="opsnb-paths" tabindex="0" aria-label="Lines of Python that were run">${ran.join("\n")}</pre>`}
  </div>`;
}

/** Look quietly from time to time, while somebody can see it and nothing else is going on. */
function useGlances(ask, quiet) {
  const state = useRef(quiet);
  state.current = quiet;
  useEffect(() => {
    const timer = setInterval(() => {
      if (state.current && document.visibilityState === "visible") ask("glance");
    }, GLANCE * 1000);
    return () => clearInterval(timer);
  }, []);
}

function ConsoleFace({ model, store }) {
  const { place, site, glance, plan, job, said, ran, audit, diff, busy } = useModel(model, PARTS);
  useStore(store);
  const [ask, waiting] = useAsking(model, store);
  const [chosen, choose] = useState(null);
  const doing = (busy && busy.doing) || [];
  const runs = Boolean(job && job.state === "running");
  useGlances(ask, !doing.length && !runs && !waiting.length && !store.gone);
  if (!place) return html`<div class="opsnb-console opsnb-mute" role="status">Waiting for the kernel…</div>`;
  // A change of another server is shown, and keeps nobody from one of this.
  const running = runs && job.server === place.server;
  const rows = site ? site.releases : [];
  const selected = rows.some((row) => row.name === chosen) ? chosen : site && site.live;
  const row = rows.find((one) => one.name === selected);
  const live = site && site.live;
  const back = () => row && !row.live && !row.back && ask("plan rollback", { to: row.name, why: "" });
  return html`<div class="opsnb-console" role="region" aria-label=${`Console of ${place.project}`}>
    ${store.gone && html`<div class="opsnb-band opsnb-warning" role="alert"><b>! The kernel was ended:</b> this console hears no more, and what it shows may not be so. <span class="opsnb-plain">Run its cell again.</span></div>`}
    <div inert=${store.gone}><${Head} place=${place} site=${site} job=${job} glance=${glance} busy=${doing} ask=${ask} /></div>
    ${site && site.warnings.map((warning) => html`<div class="opsnb-band opsnb-warning" role="note"><b>! ${warning.title}:</b> ${warning.text} <span class="opsnb-plain">${warning.hint}</span></div>`)}
    <${Said} said=${said} waiting=${waiting} />
    <div class="opsnb-columns">
      <div class="opsnb-left">
        <div inert=${store.gone}><h4>Releases</h4>
        ${site ? html`<${Releases} rows=${rows} shared=${site.shared} selected=${selected} select=${choose} act=${back} />
          ${rows.length > 0 && html`<${Selected} row=${row} live=${live} place=${place} busy=${running} ask=${ask} />`}`
          : html`<div class="opsnb-mute opsnb-empty">${doing.length ? `Looking at ${place.server}…` : `${place.server} was not seen. Refresh to try again.`}</div>`}
        ${diff && html`<div class="opsnb-card"><div class="opsnb-head"><b>From <span class="opsnb-mono">${diff.old}</span> to <span class="opsnb-mono">${diff.new}</span></b></div>
          <${Counts} changes=${diff.changes} unchanged=${diff.unchanged} /><${Paths} changes=${diff.changes} /></div>`}</div>
        ${job && (runs || job.server === place.server) && html`<div class="opsnb-card"><${Job} store=${store} state=${job} /></div>`}
      </div>
      <div class="opsnb-right-side" inert=${store.gone}>
        <h4>Change</h4>
        ${site && site.foreign && html`<${Adopt} place=${place} site=${site} busy=${running} ask=${ask} />`}
        <${Source} key=${place.server} place=${place} busy=${running} ask=${ask} />
        ${plan && html`<${Plan} plan=${plan} rows=${rows} place=${place} busy=${running} ask=${ask} />`}
        ${site && html`<h4>On the server</h4><${Tree} branches=${site.tree} />`}
        ${site && site.drift.length ? html`<details><summary>${site.drift.length} paths drifted</summary><pre class="opsnb-paths" tabindex="0" aria-label="Drifted paths">${site.drift.join("\n")}</pre></details>` : ""}
        <details class="opsnb-more"><summary>Prune old releases</summary><${Prune} key=${place.server} place=${place} ask=${ask} /></details>
        ${site && html`<details class="opsnb-more" open=${Boolean(site.hold)}><summary>Lock</summary><${Hold} place=${place} site=${site} busy=${running} ask=${ask} /></details>`}
        <details key=${`audit ${place.server}`} class="opsnb-more" onToggle=${(event) => event.target.open && ask("audit")}><summary>Audit log</summary>
          ${audit ? html`<${Audit} audit=${audit} />` : html`<div class="opsnb-mute">Reading…</div>`}</details>
      </div>
    </div>
    <${Ran} ran=${ran || []} />
  </div>`;
}
