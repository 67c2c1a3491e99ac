// Package push is the language of the platform: messages and their outcomes,
// records and their headers, receipts, waits and dead letters, and how each is
// written and read. It uses the standard library only and does no I/O; reading
// and writing logs is left to package kafka, sockets to package ws, and every
// decision to packages delivery and custody.
package push
