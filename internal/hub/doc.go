// Package hub knows which sessions a user has on this node, hands messages to
// them, and makes one report of what each of them says.
//
// It leaves the writing and the acknowledgements to package session, and what a
// report means for the log to package delivery.
//
// Lock order: a shard's lock is taken alone. Neither a session nor a callback is
// called under it.
package hub
