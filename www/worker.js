// The worker that owns the wasm module, the network and the GPU. It answers one message at a time, in order:
// `{ id, kind, ... }` in; `{ id, value }` or `{ id, error: { code, message, fatal } }` out. `fatal` says that this
// worker is beyond use. It fetches nothing: the program and the weights are handed in, with the request to load or before
// it, by a sealing page that sends `{ kind: 'connect', port, assets }` and leaves the rest to whoever has the port.

/** @typedef {import('./generated/cpu/deepbreath.js').Assessment} Assessment */
/** @typedef {import('./generated/cpu/deepbreath.js').ClassifyOptions} ClassifyOptions */
/** @typedef {import('./generated/cpu/deepbreath.js').Finding} Finding */
/** @typedef {import('./generated/cpu/deepbreath.js').Metadata} Metadata */
/** @typedef {import('./generated/cpu/deepbreath.js').OperatingPoint} OperatingPoint */
/** @typedef {import('./generated/cpu/deepbreath.js').Provenance} Provenance */
/** @typedef {import('./generated/cpu/deepbreath.js').Reason} Reason */
/** @typedef {import('./generated/cpu/deepbreath.js').Saliency} Saliency */
/** @typedef {typeof import('./generated/cpu/deepbreath.js')} Module */
/** @typedef {{ width: number, height: number, grey: Uint8Array }} Plane */
/** @typedef {import('./generated/cpu/deepbreath.js').Backend} Backend */
/** @typedef {import('./generated/cpu/deepbreath.js').Judged} Judged */
/** @typedef {{ plane: Float32Array<ArrayBuffer>, parts: Record<string, Uint8Array<ArrayBuffer>> }} Reduced */

/**
 * Where the program is: the module of wasm-bindgen, and the WebAssembly as an address, bytes or compiled.
 * @typedef {{ script: string, wasm: string | BufferSource | WebAssembly.Module }} Program
 */

/**
 * @typedef {object} Assets
 * @property {Partial<Record<Backend, Program>>} modules
 * @property {string} file Name of the weights file, for messages.
 * @property {Uint8Array<ArrayBuffer>} weights
 */

/**
 * @typedef {{ kind: 'prepare', backend: Backend, modules: Assets['modules'] }
 *   | { kind: 'load', backend: Backend, timed: boolean, assets: Assets | undefined }
 *   | { kind: 'preview', file: string, bytes: Uint8Array<ArrayBuffer> }
 *   | { kind: 'reduce', file: string, bytes: Uint8Array<ArrayBuffer> }
 *   | { kind: 'judge', plane: Float32Array<ArrayBuffer>, bytes: Uint8Array<ArrayBuffer> }
 *   | { kind: 'classify', file: string, bytes: Uint8Array<ArrayBuffer>, options: ClassifyOptions }} Request
 */

/**
 * What a load tells.
 * @typedef {{ metadata: Metadata, milliseconds: number }} Loaded The time of one
 *   run, if it was asked for.
 */

/** @typedef {Pick<MessagePort, 'postMessage'> & EventTarget} Line Who asks: this worker's creator, or a port. */

/**
 * Where something could be kept for a later visit, or told to another page of this origin, which might send it: no request
 * is made there, so no policy closes it. Nothing here needs them, so they are gone before any other code runs.
 */
const SIDE_DOORS = {
  scope: ['caches', 'indexedDB', 'BroadcastChannel', 'Worker', 'SharedWorker', 'cookieStore', 'Notification', 'webkitRequestFileSystem',
    'webkitRequestFileSystemSync', 'webkitResolveLocalFileSystemURL', 'webkitResolveLocalFileSystemSyncURL'],
  navigator: ['storage', 'storageBuckets', 'locks', 'serviceWorker', 'usb', 'hid', 'serial'],
};

/** @param {object | undefined} owner @param {string[]} names */
function shut(owner, names) {
  if (!owner) return; // Node.js 20 has no navigator.
  for (const name of names) {
    // Their getters lie on prototypes, where they could be called as well.
    for (let holder = /** @type {object | null} */ (owner); holder; holder = Reflect.getPrototypeOf(holder)) Reflect.deleteProperty(holder, name);
    Reflect.defineProperty(owner, name, { value: undefined }); // Cannot be changed again.
  }
}
shut(globalThis, SIDE_DOORS.scope);
shut(globalThis.navigator, SIDE_DOORS.navigator);

/** @type {Assets | undefined} Given by a sealing page. */
let given;
/**
 * The network, and the program that reads files: that of the processor, also where the network runs on the GPU.
 * @type {{ files: Module, classifier: import('./generated/cpu/deepbreath.js').Classifier } | undefined}
 */
let engine;
/** @type {string} What the program printed last as an error: the text of a panic. */
let printed = '';
/** @type {((error: unknown) => void) | undefined} Ends the request under way when the program stops. */
let stop;

/** @param {string} code @param {string} message */
function failure(code, message) {
  return Object.assign(new Error(message), { code });
}

/** @param {Backend} backend */
const missing = (backend) => failure('no-module', `This copy of deepbreath has no program for ${backend}.`);

/** @type {Map<Backend, Promise<Module>>} */
const started = new Map();

/**
 * The programs that an engine needs: its own, and that of the processor, which reads the files.
 * @param {Backend} backend
 * @param {Assets['modules']} modules
 * @returns {Promise<{ files: Module, network: Module }>}
 */
async function start(backend, modules) {
  for (const name of /** @type {Backend[]} */ (['cpu', backend])) {
    if (!started.has(name)) started.set(name, program(name, modules));
  }
  const [files, network] = await Promise.all([started.get('cpu'), started.get(backend)]);
  return { files: /** @type {Module} */ (files), network: /** @type {Module} */ (network) };
}

/**
 * @param {Backend} backend
 * @param {Assets['modules']} modules
 * @returns {Promise<Module>}
 */
async function program(backend, modules) {
  const program = modules[backend];
  if (!program) throw missing(backend);
  try {
    /** @type {Module} */
    const module = await import(/* webpackIgnore: true */ /* @vite-ignore */ program.script);
    await module.default({ module_or_path: program.wasm });
    return module;
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) throw error;
    const { message } = /** @type {Error} */ (error);
    throw failure('worker', `The program for ${backend} did not arrive or may not run: ${message}. Check its address and the page's policy.`);
  }
}

/**
 * @param {Extract<Request, { kind: 'load' }>} request
 * @returns {Promise<Loaded>}
 */
async function load({ backend, timed, assets = given }) {
  if (!assets) throw missing(backend);
  const { files, network } = await start(backend, assets.modules);
  const classifier = await network.Classifier.load(assets.file, assets.weights);
  engine = { files, classifier };
  // The known images of the weights: a wrong answer here would be a wrong answer to a film.
  await classifier.verify();
  // Compiles what is left of the shaders, so that the first image need not; the processor has nothing to compile.
  if (backend === 'webgpu') await classifier.warmUp();
  const begin = performance.now();
  if (timed) await classifier.warmUp();
  return { metadata: classifier.metadata, milliseconds: performance.now() - begin };
}

function loaded() {
  if (!engine) throw failure('not-loaded', 'The weights are not loaded yet. Wait until they are.');
  return engine;
}

/**
 * @param {Request} request
 * @returns {Promise<Assessment | Plane | Reduced | Judged | Loaded | void>}
 */
async function answer(request) {
  switch (request.kind) {
    case 'prepare':
      return void (await start(request.backend, request.modules));
    case 'load':
      return load(request);
    case 'preview': {
      const plane = loaded().files.preview(request.file, request.bytes);
      const { width, height, grey } = plane;
      plane.free();
      return { width, height, grey };
    }
    case 'reduce': {
      const film = loaded().files.reduce(request.file, request.bytes);
      const { plane, lungs, outside, corners, marks, border } = film;
      film.free();
      return /** @type {Reduced} */ ({ plane, parts: { lungs, outside, corners, marks, border } });
    }
    case 'judge':
      return loaded().classifier.judge(request.plane, request.bytes);
    case 'classify': {
      const { files, classifier } = loaded();
      const image = files.read(request.file, request.bytes);
      const { film, values } = image;
      image.free();
      return classifier.assess(film, values, request.options);
    }
  }
}

/** @param {unknown} error */
function described(error) {
  const { code, message } = /** @type {Error & { code?: string }} */ (error instanceof Error ? error : new Error(String(error)));
  if (code) return { code, message, fatal: code === 'device-lost' };
  if (!(error instanceof WebAssembly.RuntimeError)) return { code: 'internal', message, fatal: true };
  // A panic is a trap, which says nothing; its place and its words went to the console just before.
  const [, words = message] = /panicked at [^\n]*\n([^\n]+)/.exec(printed) ?? [];
  return { code: 'panic', message: words, fatal: true };
}

/** @type {Promise<void>} */
let queue = Promise.resolve();

/**
 * Answers the requests that come through `line`.
 * @param {Line} line
 */
function serve(line) {
  line.addEventListener('message', (event) => {
    const { data } = /** @type {MessageEvent<(Request & { id: number }) | { kind: 'connect', port: MessagePort, assets: Assets }>} */ (event);
    if (data.kind === 'connect') {
      given = data.assets;
      serve(data.port);
      return data.port.start();
    }
    const { id } = data;
    queue = queue.then(async () => {
      try {
        const stopped = new Promise((_, reject) => (stop = reject));
        const value = await Promise.race([answer(data), stopped]);
        line.postMessage({ id, value });
      } catch (error) {
        line.postMessage({ id, error: described(error) });
      }
      stop = undefined;
    });
  });
}

// A panic in the middle of an asynchronous answer settles no promise: it only comes by as an uncaught error.
addEventListener('error', (event) => {
  if (!stop) return;
  event.preventDefault();
  stop(event.error ?? new Error(event.message));
});
addEventListener('unhandledrejection', (event) => {
  if (!stop) return;
  event.preventDefault();
  stop(event.reason);
});
const print = console.error;
console.error = (...values) => {
  printed = values.join(' ');
  print(...values);
};

serve(/** @type {Line} */ (/** @type {unknown} */ (self)));
