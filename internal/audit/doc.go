// Package audit is the ledger of the platform: it reads the topics and checks
// that each message of a stretch of time was delivered, has expired, was
// dead-lettered, waits, or is under way. It believes nobody but the logs, and
// changes nothing.
package audit
