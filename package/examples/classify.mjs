// Answers for image files on the command line: node classify.mjs film.dcm other.png
// With --weights FILE by other weights than those of deepbreath-weights. One line of JSON for each file; exit code 2 where
// one could not be read.

import { parseArgs } from 'node:util';
import { pathToFileURL } from 'node:url';
import { Classifier, DeepbreathError } from 'deepbreath';

const { values, positionals: files } = parseArgs({ options: { weights: { type: 'string' } }, allowPositionals: true });
const weights = values.weights ?? (await import('deepbreath-weights').catch(() => undefined))?.weights;
if (!weights || files.length === 0) {
  console.error('usage: node classify.mjs [--weights WEIGHTS.safetensors] IMAGE..');
  if (!weights) console.error('Name the weights, or install them: npm install deepbreath-weights');
  process.exit(2);
}

const classifier = await Classifier.load({ weights });
for (const file of files) {
  try {
    console.log(JSON.stringify(await classifier.classify(pathToFileURL(file))));
  } catch (error) {
    if (!(error instanceof DeepbreathError)) throw error;
    console.error(`${error.code}: ${error.message}`);
    process.exitCode = 2;
  }
}
classifier.dispose(); // Ends its thread, and so the program.
console.error('For education and research. Not a diagnosis.');
