// The service worker: what the loader kept is answered from there, so that a second visit works without a network. It
// decides nothing and stores nothing; loader/assets.js does. What a build consists of is fixed by its list, assets.json.

const worker = /** @type {any} */ (self);
/** @type {string} */
const SCOPE = worker.registration.scope;
const CACHE = `deepbreath ${SCOPE}`;
const UPDATE = `${SCOPE}update-accepted`;
/** How long the server may take to begin an answer, in milliseconds, where a kept file could stand in for it. */
const PATIENCE = 5000;

worker.addEventListener('install', () => worker.skipWaiting());
worker.addEventListener('fetch', (/** @type {any} */ event) => {
  /** @type {Request} */
  const request = event.request;
  // `no-store` is the loader's question whether there is another build.
  if (request.method !== 'GET' || request.cache === 'no-store' || !request.url.startsWith(SCOPE)) return;
  event.respondWith(answer(request));
});

/** @param {Request} request */
async function answer(request) {
  const cache = await caches.open(CACHE);
  const [path = ''] = request.url.slice(SCOPE.length).split(/[?#]/);
  const kept = await cache.match(SCOPE + (path || 'index.html'));
  // After an update was accepted the server's build comes first, and the kept one is for the case that it does not come.
  if (kept && !(await cache.match(UPDATE))) return kept;
  try {
    return await (kept ? soon(request.url) : fetch(request));
  } catch (error) {
    if (!kept) throw error;
    // The rest of the page is to come from the same build, and at once: the update has to be accepted once more.
    await cache.delete(UPDATE).catch(() => {});
    return kept;
  }
}

/** The server's file, if it begins to come in time; rejects where the server answers with a failure. @param {string} url */
async function soon(url) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), PATIENCE);
  try {
    const response = await fetch(url, { cache: 'no-cache', signal: late.signal });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    return response;
  } finally {
    clearTimeout(timer);
  }
}
