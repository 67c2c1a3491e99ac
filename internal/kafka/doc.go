// Package kafka is the adapter of the Kafka client library: partition readers,
// durable writes, offsets, the shared group, topics. Everything it hands out is
// in the language of package push. It knows nothing of users, receipts or
// outcomes.
//
// Passing errors (a broker is away, a leader moved) are retried inside, with
// backoff, until the caller's context ends; callers see only what they have to
// decide about. Cluster.Ready says how the cluster is doing meanwhile.
package kafka
