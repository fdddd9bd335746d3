// The ways in: picker, folder, camera, drop, paste, example. All end in one list of files.

import { button, element, input } from './dom.js';
import { syntheticFilm } from './example.js';

/** @typedef {{ file: File, name: string }} Named A file and its name, with the folders it came from. */

/** What operating systems leave in folders; nobody means to open it. */
const LITTER = /^(\..*|Thumbs\.db|desktop\.ini)$/i;

/**
 * @param {(files: Named[], leftOut: number) => void} open
 * @param {(error: unknown) => void} fail
 * @param {() => void} manyFolders Hears that more than one folder was dropped, or one beside files.
 */
export function takeFiles(open, fail, manyFolders) {
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
        const film = await syntheticFilm();
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
  takeDrops(open, manyFolders);
}

/** In the order of their names. @param {Named[]} files @param {(files: Named[], leftOut: number) => void} open */
function offer(files, open) {
  files.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  const wanted = files.filter(({ name }) => !LITTER.test(name.split('/').pop() ?? ''));
  if (files.length) open(wanted, files.length - wanted.length);
}

/**
 * A drop anywhere on the page counts: a miss must not make the browser open the file instead.
 *
 * A frame without origin may not look into a dropped folder, and asking for a handle ends it. But a folder that falls on
 * a field for folders is read by the browser itself. So the folder field lies over the page while something is dragged:
 * one folder is left to it, files are taken here.
 * @param {(files: Named[], leftOut: number) => void} open
 * @param {() => void} manyFolders
 */
function takeDrops(open, manyFolders) {
  const zone = element('dropzone', HTMLElement);
  const folder = input('folder');
  const cover = (/** @type {boolean} */ covered) => {
    zone.hidden = folder.hidden = !covered;
  };
  const carriesFiles = (/** @type {DragEvent} */ { dataTransfer }) => dataTransfer?.types.includes('Files') ?? false;
  addEventListener('dragover', (event) => {
    if (!carriesFiles(event)) return;
    cover(true);
    if (event.target !== folder) event.preventDefault();
  });
  addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) cover(false);
  });
  // There is no mouse while something is dragged: whatever ended the drag, it is over.
  addEventListener('mousemove', () => zone.hidden || cover(false));
  addEventListener('drop', (event) => {
    if (!carriesFiles(event)) return;
    const items = [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === 'file');
    const folders = items.filter((item) => item.webkitGetAsEntry()?.isDirectory);
    // Taken away only after the browser has let the folder fall on it.
    setTimeout(() => cover(false));
    if (items.length === 1 && folders.length === 1 && event.target === folder) return;
    event.preventDefault();
    const files = items.filter((item) => !folders.includes(item)).flatMap((item) => item.getAsFile() ?? []);
    offer(files.map((file) => ({ file, name: file.name })), open);
    if (folders.length) manyFolders();
  });
}
