// Someone who listens: a server that notes every connection and every byte, and a STUN port. What the tests plant tries
// to reach them. And the browser's own network log, which sees more than its debugger tells.

import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';

/** Listens on this machine, over TCP and UDP. */
export async function listen() {
  /** @type {string[]} First line of whatever arrived. */
  const heard = [];
  let connections = 0;
  let datagrams = 0;
  const server = createServer((socket) => {
    connections++;
    socket.on('error', () => {});
    socket.once('data', (data) => {
      heard.push(data.toString('latin1').split('\r\n')[0] ?? '');
      socket.end('HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Type: text/plain\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const udp = createSocket('udp4');
  udp.on('message', () => datagrams++);
  await new Promise((resolve) => udp.bind(0, '127.0.0.1', () => resolve(undefined)));
  const address = server.address();
  if (!address || typeof address === 'string') throw new Error('the listener has no port');
  return {
    url: `http://127.0.0.1:${address.port}/`,
    stun: `stun:127.0.0.1:${udp.address().port}`,
    /** What arrived, by the names of the attempts. */
    get heard() {
      const names = heard.map((line) => line.split(' ')[1]?.slice(1) ?? line);
      return [...new Set(datagrams ? [...names, 'WebRTC'] : names)].sort();
    },
    get connections() {
      return connections;
    },
    close() {
      server.close();
      udp.close();
    },
  };
}

/** The browser's own errands, which no page can ask for or forbid. */
const OWN_ERRANDS = /^https?:\/\/([a-z-]+\.)*(google|googleapis|gstatic)\.com\//;

/**
 * What a browser's network log (`--log-net-log=FILE`) tells of requests after `since`, whoever in the browser made them.
 * @param {string} file
 * @param {number} since Milliseconds since 1970.
 */
export async function networkLog(file, since) {
  const log = JSON.parse(await readFile(file, 'utf8'));
  const { logEventTypes, timeTickOffset } = log.constants;
  /** @type {string[]} */
  const requests = [];
  for (const { type, time, params } of log.events) {
    if (type !== logEventTypes.URL_REQUEST_START_JOB || Number(time) < since - Number(timeTickOffset)) continue;
    if (params?.url && !OWN_ERRANDS.test(params.url)) requests.push(params.url);
  }
  return requests;
}
