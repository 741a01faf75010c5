// Starts the engine that the query names: worker.js?worker-cpu or worker.js?worker-gpu.
const name = self.location.search === "?worker-gpu" ? "worker-gpu" : "worker-cpu";
import(`./${name}.js`)
  .then((engine) => engine.default({ module_or_path: new URL(`./${name}_bg.wasm`, self.location) }))
  .catch((error) => setTimeout(() => { throw error; }));
