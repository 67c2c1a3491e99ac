// Builds the console into ../dist, or into the directory given. The same sources give
// the same bytes: names carry hashes of contents, and nothing else varies.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, '..', 'dist'));

const built = await build({
  absWorkingDir: here,
  entryPoints: { app: 'src/main.tsx', theme: 'src/theme-first.ts' },
  outdir: 'out',
  bundle: true,
  write: false,
  minify: true,
  format: 'esm',
  target: ['chrome123', 'firefox120', 'safari17.5'],
  jsx: 'automatic',
  jsxImportSource: 'preact',
  legalComments: 'none',
  charset: 'utf8',
  logLevel: 'warning',
});

await rm(out, { recursive: true, force: true });
await mkdir(join(out, 'assets'), { recursive: true });

const names = {};
async function emit(name, contents) {
  const [stem, ext] = name.split('.');
  const hash = createHash('sha256').update(contents).digest('hex').slice(0, 10);
  names[name] = `assets/${stem}-${hash}.${ext}`;
  await writeFile(join(out, names[name]), contents);
  console.log(`${names[name]}  ${contents.length} bytes, ${gzipSync(contents, { level: 9 }).length} gzipped`);
}

for (const file of built.outputFiles) await emit(file.path.split(/[\\/]/).pop(), Buffer.from(file.contents));
await emit('icon.svg', await readFile(join(here, 'src', 'icon.svg')));
// What is bundled is used under these terms, which have to go with it.
const terms = ['preact', 'uplot'].map(async (name) => `${name}\n\n${await readFile(join(here, 'node_modules', name, 'LICENSE'), 'utf8')}`);
await emit('licenses.txt', Buffer.from((await Promise.all(terms)).join('\n\n')));

let index = await readFile(join(here, 'src', 'index.html'), 'utf8');
for (const [name, hashed] of Object.entries(names)) index = index.replaceAll(`{{${name}}}`, hashed);
const left = index.match(/\{\{.*?\}\}/);
if (left) throw new Error(`index.html names ${left[0]}, which the build does not make`);
await writeFile(join(out, 'index.html'), index);
