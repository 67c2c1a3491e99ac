// Package apachekafka runs Apache Kafka for the end-to-end tests: one node or
// three, as processes of this machine, without containers. The embedded broker
// that most tests use is not Kafka; what the platform promises is shown here.
//
// Java (17 or newer) and Maven have to be there; Kafka itself is fetched by
// Maven, once, into the user's cache. Where that cannot be, tests say so in one
// line and return - unless PUSHGATE_E2E_REQUIRE_KAFKA=1, with which they fail:
//
//	cluster, ok := apachekafka.Run(t, apachekafka.Params{Nodes: 3})
//	if !ok {
//		return
//	}
//
// A Cluster's nodes can be killed, restarted, paused and continued. Topics,
// and what is in them, are left to the caller; so are the proxies of a detour.
package apachekafka
