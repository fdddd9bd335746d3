// The ways in: picker, folder, camera, drop, paste, example. All end in one list of files.

import { button, element, input } from './dom.js';
import { syntheticFilm } from './example.js';

/** @typedef {{ file: File, name: string }} Named A file and its name, with the folders it came from. */

/** What operating systems leave in folders; nobody means to open it. */
const LITTER = /^(\..*|Thumbs\.db|desktop\.ini)$/i;

/**
 * @param {(files: Named[], leftOut: number) => void} open
 * @param {(error: unknown) => void} fail
 * @param {Blob | undefined} example
 */
export function takeFiles(open, fail, example) {
  for (const [id, buttons] of Object.entries({ file: ['open', 'choose'], folder: ['open-folder'], camera: ['open-camera', 'photograph'] })) {
    const picker = input(id);
    for (const one of buttons) button(one).addEventListener('click', () => picker.click());
    picker.addEventListener('change', () => {
      const files = [...(picker.files ?? [])];
      picker.value = ''; // So that the same file can be chosen again.
      offer(files.map((file) => ({ file, name: file.webkitRelativePath || file.name })), open);
    });
  }
  for (const id of ['open-example', 'try']) {
    button(id).addEventListener('click', () => void (async () => {
      try {
        const film = example ?? (await syntheticFilm());
        open([{ file: new File([film], 'synthetic-example.bmp', { type: film.type }), name: 'synthetic-example.bmp' }], 0);
      } catch (error) {
        fail(error);
      }
    })());
  }
  addEventListener('paste', ({ clipboardData }) => {
    const files = [...(clipboardData?.files ?? [])];
    offer(files.map((file) => ({ file, name: file.name })), open);
  });
  takeDrops(open, fail);
}

/** @param {Named[]} files @param {(files: Named[], leftOut: number) => void} open */
function offer(files, open) {
  const wanted = files.filter(({ name }) => !LITTER.test(name.split('/').pop() ?? ''));
  if (files.length) open(wanted, files.length - wanted.length);
}

/**
 * A drop anywhere on the page counts: a miss must not make the browser open the file instead.
 * @param {(files: Named[], leftOut: number) => void} open
 * @param {(error: unknown) => void} fail
 */
function takeDrops(open, fail) {
  const zone = element('dropzone', HTMLElement);
  const carriesFiles = (/** @type {DragEvent} */ { dataTransfer }) => dataTransfer?.types.includes('Files') ?? false;
  addEventListener('dragover', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    zone.hidden = false;
  });
  addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) zone.hidden = true;
  });
  addEventListener('drop', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    zone.hidden = true;
    // Entries must be taken before this event ends; what they hold can be read later.
    const items = [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === 'file');
    const dropped = items.map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
    void (async () => {
      try {
        /** @type {Named[]} */
        const files = [];
        for (const { entry, file } of dropped) {
          if (entry?.isDirectory) await walk(/** @type {FileSystemDirectoryEntry} */ (entry), files);
          else if (file) files.push({ file, name: file.name });
        }
        files.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
        offer(files, open);
      } catch (error) {
        fail(error);
      }
    })();
  });
}

/**
 * Every file below a folder.
 * @param {FileSystemDirectoryEntry} folder
 * @param {Named[]} files
 */
async function walk(folder, files) {
  const reader = folder.createReader();
  for (;;) {
    // A reader gives some entries at a time, and none at the end.
    const entries = await new Promise((/** @type {(entries: FileSystemEntry[]) => void} */ resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return;
    for (const entry of entries) {
      if (entry.isDirectory) {
        await walk(/** @type {FileSystemDirectoryEntry} */ (entry), files);
      } else {
        const file = await new Promise((/** @type {(file: File) => void} */ resolve, reject) =>
          /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
        files.push({ file, name: entry.fullPath.slice(1) });
      }
    }
  }
}
