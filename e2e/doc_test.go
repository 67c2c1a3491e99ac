// Package e2e proves the platform's promises with real processes, real sockets
// and a real broker. Each test is one promise. Every promise is kept on the
// embedded broker and on Apache Kafka with broadcast routing, and with targeted
// routing on Apache Kafka and Redis. Where Kafka or Redis cannot be had, one line
// says so, and the embedded ones stand in, as far as they go; with
// PUSHGATE_E2E_REQUIRE_KAFKA or PUSHGATE_E2E_REQUIRE_REDIS set that is a failure.
// What targeted routing promises of its own is in targeted_test.go (users who move,
// nodes that die), directory_test.go (Redis goes, stale entries), modes_test.go
// (switching) and internal_test.go (POST /push, certificates, answers that vanish).
//
// PUSHGATE_E2E_BROKERS names a cluster to use instead, PUSHGATE_E2E_BINARY a
// program that is built already, PUSHGATE_E2E_KEEP a directory for what the
// processes say.
//
// The producer and the client of most tests are other libraries than ours:
// franz-go and coder/websocket.
package e2e
