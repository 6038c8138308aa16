// What the launchers of this folder share: find the compiled program beside this folder, from wherever the launcher was called.
const { existsSync } = require('node:fs');
const { basename, join } = require('node:path');
const { pathToFileURL } = require('node:url');

/** @param {string} program path of the compiled main module below dist/ */
module.exports = (program) => {
  const file = join(__dirname, '..', 'dist', program);
  if (!existsSync(file)) {
    console.error(
      `${basename(process.argv[1] ?? '')}: not built yet: run npm run build in ${join(__dirname, '..')}`,
    );
    process.exit(1);
  }
  import(pathToFileURL(file).href);
};
