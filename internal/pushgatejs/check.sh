#!/usr/bin/env bash
# Builds pushgate.js from its sources, with the pinned versions, and compares with what is
# embedded and packed. Fails where they differ, or where the types do not fit. It leaves
# node_modules, which the tests with Node want.
set -euo pipefail
cd "$(dirname "$0")"

committed=$(mktemp -d)
trap 'rm -rf "$committed"' EXIT
cp -r dist "$committed/"

npm ci --silent
npm run --silent build >/dev/null
npm run --silent types
if ! diff -r "$committed/dist" dist >/dev/null; then
	echo "internal/pushgatejs/dist is not what internal/pushgatejs/src builds:" >&2
	diff -rq "$committed/dist" dist >&2 || true
	echo "it has been built anew: commit internal/pushgatejs/dist" >&2
	exit 1
fi
echo "internal/pushgatejs/dist is what internal/pushgatejs/src builds, $(gzip -9 <dist/pushgate.js | wc -c) bytes gzipped"
