#!/usr/bin/env bash
# Builds the console from its sources, with the pinned versions, and compares with what
# is embedded. Fails where they differ, or where the types do not fit.
set -euo pipefail
cd "$(dirname "$0")"

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

npm ci --silent
npm run --silent check
npm run --silent build -- "$fresh/dist" >/dev/null
if ! diff -r "$fresh/dist" ../dist >/dev/null; then
	echo "internal/console/dist is not what internal/console/ui builds:" >&2
	diff -rq "$fresh/dist" ../dist >&2 || true
	echo "run: cd internal/console/ui && npm ci && npm run build, and commit dist" >&2
	exit 1
fi
echo "internal/console/dist is what internal/console/ui builds"
