// Package delivery is broadcast routing: it reads every request of the cluster,
// drops those of users this node does not own, hands the rest to their sessions,
// and says in receipts what became of them. It declares what it needs of logs
// and sessions, and knows neither Kafka nor sockets.
//
// One goroutine a partition reads and delivers; one a partition writes receipts.
// Reports of deliveries come from any goroutine and are gathered in the
// partition's ledger, under the one lock there is.
package delivery
