// Package redistest runs Redis for tests: the redis-server of the machine, found in
// PATH, alone, as a cluster, or watched by a sentinel; and the embedded server,
// which is always there.
package redistest
