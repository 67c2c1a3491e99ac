// Package targeted carries requests to the gateways that do not read them: it looks
// users up in the directory, and calls the nodes that hold them.
//
// Router decides: a pure type without I/O, clock or goroutine, which knows what is to
// be looked up, whom to call with what, and what has been learnt. Courier is the thin
// shell around it, one for each partition in custody here. Caller makes the calls, for
// all of them: one pool of connections and one circuit breaker for each node.
//
// What a message's outcome is, the custodian decides by what it learns from here.
// Where users are, the directory knows, and which address a node has, its book.
package targeted
