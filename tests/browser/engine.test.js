// client.js as an embedding page uses it: the sources as they are, no sealed frame.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { becomes, launch, phantom, serve, SOURCES } from './site.js';

/** @typedef {typeof import('../../www/client.js')} Client */

const WEIGHTS = 'generated/weights/deepbreath.safetensors';

/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** What a body gets: addresses, a generated film in base64, and programs whose names say what is wrong with them. */
const GIVEN = {
  weights: WEIGHTS,
  image: phantom().toString('base64'),
  modules: (/** @type {string} */ cpu, /** @type {string} */ webgpu) => {
    /** @param {string} query */
    const program = (query) => ({
      script: new URL(`generated/cpu/deepbreath.js?${query}`, document.baseURI).href,
      wasm: new URL('generated/cpu/deepbreath_bg.wasm', document.baseURI).href,
    });
    return { cpu: program(cpu), webgpu: program(webgpu) };
  },
};

/** Faults that a program can have, as code at the end of its JavaScript. @type {Record<string, string>} */
const FAULTS = {
  panics: `assess = ({ file }) => {
    if (!file.startsWith('bad')) return real.assess;
    console.error('panicked at src/film.rs:1:2:\\nindex out of range\\n\\nStack:');
    throw new WebAssembly.RuntimeError('unreachable');
  };`,
  'panics-later': `assess = ({ file }) => {
    if (!file.startsWith('bad')) return real.assess;
    setTimeout(() => { throw new WebAssembly.RuntimeError('unreachable'); });
    return () => new Promise(() => {});
  };`,
  'loses-device': "assess = () => () => Promise.reject(Object.assign(new Error('the device is gone'), { code: 'device-lost' }));",
  'computes-wrongly': "verify = () => () => Promise.reject(Object.assign(new Error('another logit'), { code: 'verification' }));",
  'never-answers': 'assess = () => () => new Promise(() => {});',
  'never-starts': 'verify = () => () => new Promise(() => {});',
  slow: 'warmUp = () => () => new Promise((resolve) => setTimeout(resolve, 2000));',
};

/**
 * Serves programs with a fault: `?panics` always has it, `?panics-once` only the first time that it is fetched.
 * @returns {(name: string, bytes: Buffer, query: string) => Buffer}
 */
function faulty() {
  let fetched = 0;
  return (name, bytes, query) => {
    const [, fault = '', once] = /^\?(.*?)(-once)?$/.exec(query) ?? [];
    const code = FAULTS[fault];
    if (!code || !name.endsWith('deepbreath.js') || (once && fetched++)) return bytes;
    const [method] = code.split(' ');
    const patch = `{ let ${method}; const real = { ${method}: Classifier.prototype.${method} }; ${code}
      Classifier.prototype.${method} = function (...values) { return ${method}(...values).apply(this, values); }; }`;
    return Buffer.concat([bytes, Buffer.from(`\n${patch}\n`)]);
  };
}

/** Code that makes timers shorter. @param {number[]} which Their milliseconds. @param {number} milliseconds What they wait instead. */
const hurried = (which, milliseconds) => `const wait = setTimeout; globalThis.setTimeout = (then, asked, ...values) =>
  wait(then, ${JSON.stringify(which)}.includes(asked) ? ${milliseconds} : asked, ...values)`;

/**
 * Runs `body` in an empty page beside client.js.
 * @template T
 * @param {(client: Client, given: typeof GIVEN) => Promise<T>} body
 * @param {string} [before] Code that runs first.
 * @returns {Promise<T>}
 */
async function embedded(body, before = '') {
  const site = await serve({ folder: SOURCES, change: faulty() });
  const page = await browser.newPage();
  try {
    await page.goto(`${site.url}blank.html`);
    const { weights, image, modules } = GIVEN;
    return await page.evaluate(`(async () => {
      ${before};
      const given = { ...${JSON.stringify({ weights, image })}, modules: ${modules} };
      return (${body})(await import('./client.js'), given);
    })()`);
  } finally {
    await page.close();
    site.close();
  }
}

describe('requests', () => {
  test('a file, a blob and bytes are answered alike, and bytes stay the caller\'s', async () => {
    const answers = await embedded(async ({ Classifier }, { weights, image }) => {
      const classifier = await Classifier.load({ weights, backend: 'cpu' });
      const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
      const sources = [new File([bytes], 'film.png'), new Blob([bytes]), bytes, bytes.buffer, bytes];
      const all = [];
      for (const source of sources) {
        const { file, findings, backend } = await classifier.classify(source);
        all.push({ file, backend, first: findings[0]?.probability, length: bytes.length });
      }
      return all;
    });
    const [first] = answers;
    assert.ok(first);
    assert.equal(first.file, 'film.png');
    assert.ok(first.length > 1000);
    for (const answer of answers.slice(1)) assert.deepEqual(answer, { ...first, file: 'image' });
  });

  test('an address and the pixels of a canvas are answered like the file', async () => {
    const [file, address, pixels] = await embedded(async ({ Classifier }, { weights, image }) => {
      const classifier = await Classifier.load({ weights: await (await fetch(weights)).blob(), backend: 'cpu' });
      const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
      const bitmap = await createImageBitmap(new Blob([bytes]));
      const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
      context?.drawImage(bitmap, 0, 0);
      const data = context?.getImageData(0, 0, bitmap.width, bitmap.height);
      const url = new URL(URL.createObjectURL(new Blob([bytes])));
      const answers = [];
      for (const source of [bytes, url, /** @type {ImageData} */ (data)]) answers.push((await classifier.classify(source)).findings);
      return answers;
    });
    assert.equal(file?.length, 3);
    assert.deepEqual(address, file);
    for (const [index, { label, probability }] of (file ?? []).entries()) {
      assert.equal(pixels?.[index]?.label, label);
      assert.ok(Math.abs((pixels?.[index]?.probability ?? 0) - probability) < 1e-5);
    }
  });

  test('the program is fetched while the weights are on their way', async () => {
    const site = await serve({ folder: SOURCES });
    const page = await browser.newPage();
    try {
      await page.route(`**/${WEIGHTS}`, async (route) => {
        await becomes(async () => site.served.some((name) => name.endsWith('cpu/deepbreath_bg.wasm')), true, 'the program was asked for');
        await route.continue();
      });
      await page.goto(`${site.url}blank.html`);
      const backend = await page.evaluate(async (weights) => {
        const { Classifier } = await import(new URL('client.js', document.baseURI).href);
        return (await Classifier.load({ weights, backend: 'cpu' })).backend;
      }, WEIGHTS);
      assert.equal(backend, 'cpu');
    } finally {
      await page.close();
      site.close();
    }
  });

  test('what is no image, an address without a file, and a classifier that was disposed of are said by code', async () => {
    const codes = await embedded(async ({ Classifier, DeepbreathError }, { weights, image }) => {
      /** @param {Promise<unknown>} work */
      const code = (work) => work.then(() => 'answered', (error) => error instanceof DeepbreathError ? error.code : String(error));
      const codes = [await code(Classifier.load({ backend: 'cpu' })), await code(Classifier.load({ weights: 'nowhere', backend: 'cpu' }))];
      const classifier = await Classifier.load({ weights, backend: 'cpu' });
      for (const source of [image, new URL('nowhere.png', document.baseURI)]) codes.push(await code(classifier.classify(/** @type {URL} */ (source))));
      const pending = classifier.classify(new Blob([image]));
      classifier.dispose();
      return [...codes, await code(pending), await code(classifier.classify(new Blob([image])))];
    });
    assert.deepEqual(codes, ['no-weights', 'unreachable', 'unreadable-file', 'unreachable', 'closed', 'closed']);
  });

  test('whatever is wrong with options, sources and files of the package is said by code', async () => {
    const codes = await embedded(async ({ Classifier, DeepbreathError }, { weights, image, modules }) => {
      /** @param {Promise<unknown>} work */
      const code = (work) => work.then(() => 'answered', (error) => error instanceof DeepbreathError ? error.code : String(error));
      const { cpu } = modules('', '');
      const html = { script: cpu.script, wasm: new URL('blank.html', document.baseURI).href };
      const loads = /** @type {import('../../www/client.js').LoadOptions[]} */ ([
        {}, { weights: '' }, { weights: 'http://[' }, { weights, base: 'http://[' }, { weights, backend: /** @type {any} */ ('gpu') },
        { weights, base: 'nowhere/' }, { weights, modules: { cpu: { ...cpu, script: 'http://localhost:1/nowhere.js' } } },
        { weights, modules: { cpu: { ...cpu, wasm: 'nowhere.wasm' } } }, { weights, modules: { cpu: html } }, { weights, modules: {} },
      ]);
      const loading = [];
      for (const options of loads) loading.push(await code(Classifier.load({ backend: 'cpu', ...options })));
      const classifier = await Classifier.load({ weights, backend: 'cpu' });
      const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
      const gone = new ArrayBuffer(8);
      structuredClone(gone, { transfer: [gone] });
      const half = new ImageData(8, 8, /** @type {any} */ ({ pixelFormat: 'rgba-float16' }));
      const sources = [gone, ...(half.data instanceof Uint8ClampedArray ? [] : [half])];
      const reading = [];
      for (const source of sources) reading.push(await code(classifier.classify(source)));
      const asking = [
        await code(classifier.classify(bytes, /** @type {any} */ ({ saliency: true, onProgress() {} }))),
        await code(classifier.classify(bytes, /** @type {any} */ ({ salience: true }))),
        await code(classifier.classify(new URL('data:image/png,100%'))),
      ];
      return { loading, reading, asking, last: await code(classifier.classify(bytes)) };
    });
    assert.deepEqual(codes.loading, ['no-weights', 'no-weights', 'options', 'options', 'options', 'worker', 'worker', 'worker', 'worker', 'no-module']);
    assert.deepEqual(new Set(codes.reading), new Set(['unreadable-file']));
    assert.deepEqual(codes.asking, ['options', 'options', 'unknown-format']);
    assert.equal(codes.last, 'answered');
  });

  test('a server that stops sending is given up, and the next request is answered', async () => {
    const server = createServer((request, response) => {
      response.setHeader('access-control-allow-origin', '*');
      if (request.url === '/half.png') response.writeHead(200, { 'content-length': 1000 }).write('half');
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    try {
      /** @param {Client} client @param {typeof GIVEN} given @param {number} port */
      const asks = async ({ Classifier, DeepbreathError }, { weights, image }, port) => {
        const classifier = await Classifier.load({ weights, backend: 'cpu' });
        const urls = ['silent', 'half'].map((name) => new URL(`http://127.0.0.1:${port}/${name}.png`));
        const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
        return Promise.all([...urls, bytes].map((source) => classifier.classify(source).then(
          ({ file }) => file, (error) => error instanceof DeepbreathError && `${error.code}: ${error.message}`)));
      };
      const hurry = hurried([60_000], 2000);
      const [silent, half, next] = await embedded(/** @type {any} */ (`(client, given) => (${asks})(client, given, ${port})`), hurry);
      for (const said of [silent, half]) assert.match(said, /^unreachable: .*nothing arrived for 60 seconds\. Check the connection/);
      assert.equal(next, 'image');
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test('loading is given up when its signal says so', async () => {
    const outcome = await embedded(async ({ Classifier }, { weights }) => {
      const abort = new AbortController();
      /** @type {string[]} */
      const stages = [];
      const onProgress = (/** @type {{ stage?: string }} */ { stage = '' }) => {
        if (stages.at(-1) !== stage) stages.push(stage);
        if (stage === 'engine') abort.abort();
      };
      return Classifier.load({ weights, backend: 'cpu', onProgress, signal: abort.signal }).then(() => 'loaded', (error) => [error.name, ...stages]);
    });
    assert.deepEqual(outcome, ['AbortError', 'weights', 'engine']);
  });

  test('an aborted request rejects with the reason of its signal, and the next one is answered', async () => {
    const outcome = await embedded(async ({ Classifier }, { weights, image }) => {
      const classifier = await Classifier.load({ weights, backend: 'cpu' });
      const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
      const abort = new AbortController();
      const pending = [classifier.classify(bytes, { signal: abort.signal }), classifier.classify(bytes, { signal: abort.signal })];
      const last = classifier.classify(bytes);
      abort.abort();
      const names = await Promise.all(pending.map((one) => one.then(() => 'answered', (error) => error.name)));
      return [...names, (await last).backend];
    });
    assert.deepEqual(outcome, ['AbortError', 'AbortError', 'cpu']);
  });
});

describe('an engine that stops', () => {
  /** Two films, the first of which may be the bad one. @param {Client} client @param {typeof GIVEN} given @param {string} fault */
  const twoFilms = async ({ Classifier, DeepbreathError }, { weights, image, modules }, fault) => {
    const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
    const classifier = await Classifier.load({ weights, backend: 'cpu', modules: modules(fault, fault) });
    const answers = ['bad.png', 'good.png'].map((name) => classifier.classify(new File([bytes], name)).then(
      ({ file }) => file, (error) => ({ known: error instanceof DeepbreathError, code: error.code, message: error.message })));
    return Promise.all(answers);
  };
  /** @param {string} fault */
  const films = (fault) => embedded(/** @type {any} */ (`(client, given) => (${twoFilms})(client, given, '${fault}')`));

  test('is started anew, and the image is not lost', async () => {
    assert.deepEqual(await films('panics-once'), ['bad.png', 'good.png']);
    assert.deepEqual(await films('panics-later-once'), ['bad.png', 'good.png']);
  });

  test('twice on one file is an error that a person can read, and the next file is answered', async () => {
    const [error, next] = /** @type {any} */ (await films('panics'));
    assert.equal(next, 'good.png');
    assert.deepEqual([error.known, error.code], [true, 'panic']);
    assert.match(error.message, /^bad\.png: .*index out of range/);
  });
});

describe('the graphics processor', () => {
  /** @param {Client} client @param {typeof GIVEN} given @param {string} cpu @param {string} webgpu @param {'auto' | 'webgpu'} backend */
  const films = async ({ Classifier }, { weights, image, modules }, cpu, webgpu, backend) => {
    const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
    const classifier = await Classifier.load({ weights, backend, modules: modules(cpu, webgpu) });
    const [first, reason] = [classifier.backend, classifier.reason];
    /** @type {string[]} */
    const events = [];
    classifier.addEventListener('backendchange', ({ detail }) => events.push(detail.reason));
    /** @type {string[]} */
    const restarts = [];
    classifier.addEventListener('restart', ({ detail: { backend, reason } }) => restarts.push(`${backend}: ${reason}`));
    const answers = await Promise.all([1, 2, 3].map(() => classifier.classify(bytes)));
    return { first, reason, last: classifier.backend, fallback: classifier.fallback, events, restarts, answers: answers.length, classes: classifier.weights.classes };
  };
  const ADAPTER = "Object.defineProperty(navigator, 'gpu', { value: { requestAdapter: async () => ({ info: { isFallbackAdapter: false } }) } })";
  /** @param {string} cpu @param {string} webgpu @param {string} backend @param {string} [before] @returns {ReturnType<typeof films>} */
  const run = (cpu, webgpu, backend, before) =>
    embedded(/** @type {any} */ (`(client, given) => (${films})(client, given, '${cpu}', '${webgpu}', '${backend}')`), before);

  test('that is lost once is opened again', async () => {
    const { first, last, fallback, events, restarts, answers, classes } = await run('', 'loses-device-once', 'webgpu');
    assert.deepEqual({ first, last, events, answers }, { first: 'webgpu', last: 'webgpu', events: [], answers: 3 });
    assert.deepEqual([fallback, restarts], [false, ['webgpu: the device is gone']], 'which is told');
    assert.deepEqual(classes, ['covid', 'normal', 'pneumonia']);
  });

  test('that is lost again gives way to the processor, which is said', async () => {
    const { first, last, fallback, events, restarts, answers } = await run('', 'loses-device', 'webgpu');
    assert.deepEqual({ first, last, fallback, answers }, { first: 'webgpu', last: 'cpu', fallback: true, answers: 3 });
    assert.equal(restarts.length, 1);
    assert.equal(events.length, 1);
    assert.match(events[0] ?? '', /device is gone/);
  });

  test('that stops answering counts as lost: opened again, then the processor, which is said', async () => {
    const hurry = hurried([120_000], 4000);
    const once = await run('', 'never-answers-once', 'webgpu', hurry);
    assert.deepEqual([once.first, once.last, once.events, once.answers], ['webgpu', 'webgpu', [], 3]);
    const ever = await run('', 'never-answers', 'webgpu', hurry);
    assert.deepEqual([ever.first, ever.last, ever.answers], ['webgpu', 'cpu', 3]);
    assert.deepEqual(ever.events, ['the graphics processor failed: it did not answer within 120 seconds']);
  });

  test('is not blamed for files that the program stops on', async () => {
    /** @param {Client} client @param {typeof GIVEN} given */
    const stops = async ({ Classifier }, { weights, image, modules }) => {
      const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
      const classifier = await Classifier.load({ weights, backend: 'webgpu', modules: modules('', 'panics') });
      let changes = 0;
      for (const type of /** @type {const} */ (['backendchange', 'restart'])) classifier.addEventListener(type, () => changes++);
      const files = ['bad.png', 'good.png', 'bad too.png', 'good.png'];
      const answers = await Promise.all(files.map((name) => classifier.classify(new File([bytes], name)).then(({ file }) => file, ({ code }) => code)));
      return { answers, changes, last: classifier.backend };
    };
    assert.deepEqual(await embedded(stops), { answers: ['panic', 'good.png', 'panic', 'good.png'], changes: 0, last: 'webgpu' });
  });

  test('that computes something else is not used, which is said', async () => {
    const { first, reason, fallback } = await run('', 'computes-wrongly', 'webgpu');
    assert.deepEqual([first, fallback], ['cpu', true]);
    assert.match(reason, /another logit/);
  });

  test('is chosen where it is faster, and not where it is slower', async () => {
    const faster = await run('slow', '', 'auto', ADAPTER);
    assert.equal(faster.first, 'webgpu');
    assert.match(faster.reason, /faster.*ms on the graphics processor/);
    const slower = await run('', 'slow', 'auto', ADAPTER);
    assert.equal(slower.first, 'cpu');
    assert.match(slower.reason, /faster/);
  });

  test('that never starts gives way to the processor, which is said', async () => {
    const hurry = hurried([10_000, 20_000, 180_000], 500);
    const { first, reason, fallback } = await run('', 'never-starts', 'auto', `${ADAPTER}; ${hurry}`);
    assert.deepEqual([first, reason, fallback], ['cpu', 'the graphics processor failed: it did not start within 20 seconds', true]);
    const asked = await run('', 'never-starts', 'webgpu', hurry);
    assert.deepEqual([asked.first, asked.reason], ['cpu', 'the graphics processor failed: it did not start within 180 seconds']);
    const silent = "Object.defineProperty(navigator, 'gpu', { value: { requestAdapter: () => new Promise(() => {}) } })";
    const without = await run('', '', 'auto', `${silent}; ${hurry}`);
    assert.deepEqual([without.first, without.reason], ['cpu', 'no graphics adapter was found within 10 seconds']);
  });

  test('that is none is not tried', async () => {
    const { first, reason, fallback } = await run('', 'computes-wrongly', 'auto', "Object.defineProperty(navigator, 'gpu', { value: undefined })");
    assert.deepEqual([first, reason, fallback], ['cpu', 'this browser has no WebGPU', false]);
  });
});
