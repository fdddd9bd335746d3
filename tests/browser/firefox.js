// Firefox, headless, told by WebDriver BiDi (https://w3c.github.io/webdriver-bidi/): what a test of the page needs, no more.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { WebSocket } from 'ws';

/** The program: the one that is named, else the first one on the path; undefined where there is none. */
export const FIREFOX = [process.env.DEEPBREATH_FIREFOX, 'firefox-esr', 'firefox'].find((name) => {
  try {
    return name && execFileSync(name, ['--version'], { stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return false;
  }
});

/** How long Firefox may take to start, and how long a page may take, in milliseconds. */
const PATIENCE = 120_000;

/** One browser with one page. A context is a page or a frame of it. */
export class Firefox {
  #process;
  #profile;
  /** @type {WebSocket | undefined} */
  #line;
  #next = 0;
  /** @type {Map<number, (message: any) => void>} */
  #pending = new Map();

  constructor() {
    if (!FIREFOX) throw new Error('There is no Firefox: install firefox-esr, or set DEEPBREATH_FIREFOX.');
    this.#profile = mkdtempSync(path.join(tmpdir(), 'deepbreath-firefox-'));
    this.#process = spawn(FIREFOX, ['--headless', '--no-remote', '--profile', this.#profile, '--remote-debugging-port', '0'], { stdio: ['ignore', 'ignore', 'pipe'] });
  }

  /** Waits until it listens, and opens a session. */
  async start() {
    /** @type {string} */
    const address = await new Promise((resolve, reject) => {
      let said = '';
      const late = setTimeout(() => reject(new Error(`Firefox does not listen: ${said}`)), PATIENCE);
      this.#process.on('error', reject).on('exit', (code) => reject(new Error(`Firefox ended with code ${code}: ${said}`)));
      this.#process.stderr.on('data', (text) => {
        said += text;
        const [, found] = /WebDriver BiDi listening on (ws:\S+)/.exec(said) ?? [];
        if (!found) return;
        clearTimeout(late);
        resolve(found);
      });
    });
    const line = (this.#line = new WebSocket(`${address}/session`));
    line.on('message', (text) => {
      const message = JSON.parse(String(text));
      this.#pending.get(message.id)?.(message);
      this.#pending.delete(message.id);
    });
    await new Promise((resolve, reject) => line.on('open', resolve).on('error', reject));
    await this.#ask('session.new', { capabilities: {} });
  }

  /** @param {string} method @param {object} params @returns {Promise<any>} */
  async #ask(method, params) {
    const id = this.#next++;
    const answer = new Promise((resolve) => this.#pending.set(id, resolve));
    this.#line?.send(JSON.stringify({ id, method, params }));
    const { result, error, message } = await answer;
    if (error) throw new Error(`${method}: ${error}: ${message}`);
    return result;
  }

  /** Opens an address in the page. @param {string} url @returns {Promise<string>} The page's context. */
  async open(url) {
    const { contexts: [{ context }] } = await this.#ask('browsingContext.getTree', {});
    await this.#ask('browsingContext.navigate', { context, url, wait: 'complete' });
    return context;
  }

  /** The frames of a context. @param {string} root @returns {Promise<string[]>} */
  async frames(root) {
    const { contexts: [{ children }] } = await this.#ask('browsingContext.getTree', { root });
    return children.map((/** @type {{ context: string }} */ { context }) => context);
  }

  /**
   * What a function returns in a context, as JSON.
   * @template T
   * @param {string} context
   * @param {() => T | Promise<T>} body
   * @returns {Promise<T>}
   */
  async evaluate(context, body) {
    const functionDeclaration = `async () => JSON.stringify([await (${body})()])`;
    const { result, exceptionDetails } = await this.#ask('script.callFunction', { functionDeclaration, target: { context }, awaitPromise: true });
    if (exceptionDetails) throw new Error(`in Firefox: ${exceptionDetails.text}`);
    return JSON.parse(result.value)[0];
  }

  /** Chooses a file as a visitor would. @param {string} context @param {string} selector @param {string} file */
  async choose(context, selector, file) {
    const { nodes: [element] } = await this.#ask('browsingContext.locateNodes', { context, locator: { type: 'css', value: selector } });
    await this.#ask('input.setFiles', { context, element: { sharedId: element.sharedId }, files: [file] });
  }

  async close() {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#line?.terminate();
    if (this.#process.exitCode === null && this.#process.kill()) await ended;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
