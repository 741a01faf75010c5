// Starts the program that the query names: worker.js?worker-cpu, ?worker-gpu or ?worker-stage.
const programs = ["worker-cpu", "worker-gpu", "worker-stage"];
const name = programs.find((program) => self.location.search === `?${program}`) ?? programs[0];
import(`./${name}.js`)
  .then((program) => program.default({ module_or_path: new URL(`./${name}_bg.wasm`, self.location) }))
  .catch((error) => setTimeout(() => { throw error; }));
