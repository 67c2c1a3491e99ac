// Package delivery hands requests to the sessions of this node and says in receipts
// what became of them. It reads every request of the cluster and drops those of users
// this node does not own (broadcast routing), or it is called with those of users it
// does (targeted routing), and changes from one to the other while it runs. Who calls
// it, and how the users of a node are found, is left to custody, targeted and
// directory. It declares what it needs of logs and sessions, and knows neither Kafka
// nor sockets.
//
// One goroutine a partition reads and delivers, where it reads; one a partition writes receipts.
// Reports of deliveries come from any goroutine and are gathered in the
// partition's ledger, under the one lock there is.
package delivery
