// Package demo plays the platform's whole story by itself, with clients and a
// producer of its own, and tells it in lines that can be read along: delivered,
// waiting for a user who is away, a slow client, a client that does not
// acknowledge, dead letters, and a ledger at the end.
//
// It sees the platform from outside only: what it tells was measured at the
// clients' end of their sockets or read in the platform's topics. How those are
// reached is left to the caller.
package demo
