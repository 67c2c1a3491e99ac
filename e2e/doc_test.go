// Package e2e proves the platform's promises with real processes, real sockets
// and a real broker. Each test is one promise. Every promise is kept on the
// embedded broker and on Apache Kafka; where Kafka cannot be had, one line says
// so, unless PUSHGATE_E2E_REQUIRE_KAFKA is set: then it is a failure.
// PUSHGATE_E2E_BROKERS names a cluster to use instead, PUSHGATE_E2E_BINARY a
// program that is built already, PUSHGATE_E2E_KEEP a directory for what the
// processes say.
//
// The producer and the client of most tests are other libraries than ours:
// franz-go and coder/websocket.
package e2e
