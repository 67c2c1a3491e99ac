// Package ws speaks RFC 6455: it turns bytes into messages and messages into
// frames, upgrades HTTP requests, and moves both over a socket without ever
// blocking the one who sends.
//
// It is the only user of gobwas/ws. What it leaves to others: who may connect
// and from which origin (package gateway), what messages mean and when a
// connection is given up for a reason of its own (package session), which
// connections a message goes to (package hub), and which messages are worth
// compressing (package session). The one extension is permessage-deflate, without a
// window that is kept (docs/adr/0017).
//
// A Conn is the protocol; a wire moves its bytes (docs/adr/0015).
package ws
