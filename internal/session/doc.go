// Package session is one connection of one user: what is written to it in which
// form, what the client may say, and what became of each message.
//
// It leaves frames and sockets to package ws, the choice of sessions for a
// message to package hub, and who the user is to package gateway. It does not
// know how its transport is driven: messages of the client are pushed in, writes
// are handed over and completed later, and nothing here blocks.
package session
