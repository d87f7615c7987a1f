// The anywidget: one module for every view; the model's `face` says which.
const FACES = { job: typeof JobFace === "undefined" ? null : JobFace, console: typeof ConsoleFace === "undefined" ? null : ConsoleFace };

export default () => {
  // anywidget gives `initialize` and `render` different proxies of the model: what lasts is here.
  let store = null;
  return {
    initialize({ model }) {
      store = new JobStore(model);
    },
    render({ model, el }) {
      const root = document.createElement("div");
      root.className = "opsnb opsnb-widget";
      el.append(root);
      const letGo = keepKeys(root);
      render(html`<${FACES[model.get("face")]} model=${model} store=${store} />`, root);
      return () => {
        letGo();
        render(null, root);
      };
    },
  };
};
