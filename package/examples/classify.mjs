// Answers for image files on the command line: node classify.mjs --weights deepbreath.safetensors film.dcm other.png
// One line of JSON for each file; exit code 2 where one could not be read.

import { parseArgs } from 'node:util';
import { pathToFileURL } from 'node:url';
import { Classifier, DeepbreathError } from 'deepbreath';

const { values: { weights }, positionals: files } = parseArgs({ options: { weights: { type: 'string' } }, allowPositionals: true });
if (!weights || files.length === 0) {
  console.error('usage: node classify.mjs --weights WEIGHTS.safetensors IMAGE..');
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
