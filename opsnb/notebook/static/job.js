// One running change: steps, progress, what visitors see, Abort, the log.
const ACKNOWLEDGED = 500; // ms that the kernel has to say that it heard an Abort
const AGAIN = 2000; // ms between two requests for the lines so far
const SILENT = 6; // s without news of a running change, after which that is said

/** What a view knows beyond its model: lines, and whether the kernel is still there. */
class JobStore {
  constructor(model, name = "job") {
    this.model = model;
    this.name = name;
    this.lines = new Lines();
    this.heard = Date.now();
    this.gone = false;
    this.asked = this.later = 0;
    this.note = "";
    this.job = null; // whose lines these are, where there may be another's
    this.parts = null;
    this.watchers = new Set();
    model.on("msg:custom", (message, buffers) => this.take(message, buffers));
    model.on(`change:${name}`, () => { this.heard = Date.now(); });
    this.watchKernel();
    this.hello();
  }
  /** Ask for the lines so far; while they are on their way, not once more for each that comes before them. */
  hello() {
    const early = this.asked + AGAIN - Date.now();
    if (early > 0) {
      this.later ||= setTimeout(() => { this.later = 0; this.hello(); }, early);
      return;
    }
    this.asked = Date.now();
    this.send({ do: "hello" });
  }
  /** Tell the kernel; whether it could be told. */
  send(message) {
    if (this.gone) return false;
    try {
      this.model.send(message);
      return true;
    } catch {
      this.gone = true;
      this.changed();
      return false;
    }
  }
  get kernel() {
    return this.model.widget_manager?.kernel;
  }
  watchKernel() {
    this.kernel?.statusChanged?.connect((_kernel, status) => {
      if (["restarting", "autorestarting", "dead", "terminating"].includes(status)) {
        this.gone = true;
        this.changed();
      }
    });
  }
  take(message, buffers) {
    if (message.kind === "begin") {
      this.job = message.job;
      this.lines.clear();
    }
    const ours = this.job === null || message.job === this.job;
    if (message.kind === "lines" && ours && !this.lines.add(message.first, message.lines, message.again)) this.hello();
    if (message.kind === "log") this.takeLog(message, buffers);
  }
  /** Ask for the whole log; the kernel sends it in parts. */
  download() {
    this.parts = [];
    this.changed();
    this.send({ do: "log" });
    setTimeout(() => {
      if (this.parts && !this.parts.length) {
        this.say("The kernel is busy; the log comes when it is free.");
      }
    }, 2000);
  }
  takeLog({ name, part, parts }, buffers) {
    if (!this.parts) return;
    if (!parts) {
      this.parts = null;
      this.say("The log is in no file: it was not kept (a warning above says why), or was thinned out.");
      return;
    }
    this.parts.push(buffers[0]);
    if (part + 1 === parts) {
      const url = URL.createObjectURL(new Blob(this.parts, { type: "text/plain" }));
      const link = document.createElement("a");
      link.href = url;
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
      this.parts = null;
      this.note = "";
    }
    this.changed();
  }
  /** Tell the change to stop; where a cell blocks the kernel, interrupt that cell, which is the same. */
  abort() {
    const state = () => this.model.get(this.name) || {};
    this.say("Aborting…");
    this.send({ do: "abort" });
    setTimeout(() => {
      const now = state();
      if (now.aborting || now.state !== "running") return;
      if (now.waited && this.kernel) this.kernel.interrupt();
      else this.say("The kernel is busy with another cell: the change is aborted when that is over.", true);
    }, ACKNOWLEDGED);
  }
  interrupt() {
    this.say("The cell that runs is interrupted; then the change is aborted.");
    this.kernel?.interrupt();
  }
  say(note, blocked = false) {
    this.note = note;
    this.blocked = blocked;
    this.changed();
  }
  changed() {
    this.watchers.forEach((watch) => watch());
  }
  subscribe(watch) {
    this.watchers.add(watch);
    return () => this.watchers.delete(watch);
  }
}

function Steps({ steps }) {
  const words = { done: "done", now: "running", ahead: "to come", failed: "failed" };
  return html`<ol class="opsnb-steps" aria-label="Steps">
    ${steps.map((step) => html`<li key=${step.name} class=${`opsnb-step opsnb-step-${step.is}`}
        title=${step.took} aria-current=${step.is === "now" ? "step" : undefined}>
      <span class="opsnb-dot" aria-hidden="true">${step.is === "failed" ? "✕" : ""}</span>${step.name}
      <span class="opsnb-hidden">, ${words[step.is]} ${step.took}</span>
    </li>`)}
  </ol>`;
}

function Bar({ share, label }) {
  const percent = Math.round(share * 100);
  return html`<div class="opsnb-bar" role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax="100"
    aria-valuenow=${percent}><i style=${{ width: `${percent}%` }}></i></div>`;
}

function End({ end, sees }) {
  const bad = Boolean(end.error);
  return html`<div class=${`opsnb-end ${bad ? "opsnb-bad" : "opsnb-good"}`} role=${bad ? "alert" : "status"}>
    <b>${bad ? "✕ " : "✓ "}${bad ? end.error : end.text}</b>
    ${bad && html`<div>${end.text}</div>`}
    ${end.hint && html`<div class="opsnb-plain">${end.hint}</div>`}
    <div class="opsnb-plain">${[end.switched, sees].filter(Boolean).join(" · ")}</div>
  </div>`;
}

function Job({ store, state, titled = true }) {
  useStore(store);
  const silent = useAge(store.heard);
  if (!state) return html`<div class="opsnb-mute" role="status">Waiting for the kernel…</div>`;
  const running = state.state === "running";
  const words = { running: "running", done: "done", failed: "failed" };
  const signs = { running: "◌", done: "✓", failed: "✕" };
  const kinds = { running: "blue", done: "green", failed: "red" };
  const notes = [];
  if (store.gone && running) {
    notes.push("The kernel was ended: this view hears no more. Look at the server: what had not been switched is not live.");
  } else if (running && silent > SILENT) notes.push(`No news for ${silent} s.`);
  if (store.note && (running || store.parts || !store.note.startsWith("Abort"))) notes.push(store.note);
  return html`<div class="opsnb-job" data-state=${state.state}>
    <div class="opsnb-head">
      ${titled && html`<b>${state.verb} ${state.release && html`<span class="opsnb-mono">${state.release}</span> `}on ${state.server}</b>`}
      <span class=${`opsnb-pill opsnb-${kinds[state.state]}`} role="status">${signs[state.state]} ${state.aborting ? "aborting" : words[state.state]}</span>
      <span class="opsnb-mute opsnb-number">${state.seconds} s</span>
      <span class="opsnb-gap"></span>
      ${running && html`<span class="opsnb-mute">${state.sees}</span>
        <button class="opsnb-button opsnb-stop" disabled=${state.aborting || store.gone} onClick=${() => store.abort()}>Abort</button>`}
    </div>
    <${Steps} steps=${state.steps} />
    ${state.share !== null && html`<${Bar} share=${state.share} label="Bytes sent" />`}
    ${state.amounts && html`<div class="opsnb-mono opsnb-amounts">${state.amounts}</div>`}
    ${state.warnings.map((text) => html`<div class="opsnb-warning">! ${text}</div>`)}
    ${notes.map((text) => html`<div class="opsnb-warning" role="status">${text}
      ${store.blocked && running && html` <button class="opsnb-button" onClick=${() => store.interrupt()}>Interrupt that cell</button>`}</div>`)}
    ${state.end && html`<${End} end=${state.end} sees=${state.sees} />`}
    <${Log} lines=${store.lines} running=${running} download=${() => store.download()} downloading=${store.parts !== null} />
  </div>`;
}

function JobFace({ model, store }) {
  const { job } = useModel(model, ["job"]);
  return html`<${Job} store=${store} state=${job} />`;
}
