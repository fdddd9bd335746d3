// worker.js in a thread of Node.js: gives it what a browser's worker has, then starts it.

import { parentPort } from 'node:worker_threads';

const events = new EventTarget();
Object.assign(globalThis, {
  self: globalThis,
  addEventListener: events.addEventListener.bind(events),
  postMessage: (/** @type {unknown} */ message) => parentPort?.postMessage(message),
});

// A panic after the first pause comes by as an uncaught error; where nobody waits for an answer, the thread ends.
process.on('uncaughtException', (error) => {
  const event = Object.assign(new Event('error', { cancelable: true }), { error, message: String(error) });
  if (!events.dispatchEvent(event)) return;
  console.error(error);
  process.exit(1);
});

await import('./worker.js');
parentPort?.on('message', (data) => events.dispatchEvent(new MessageEvent('message', { data })));
