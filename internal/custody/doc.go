// Package custody answers for the outcome of every request of a partition.
//
// Machine decides: a pure type without I/O, clock or goroutine. Events go in
// (request read, receipt read, wait restored, time), actions come out (make a
// wait, offer again, dead-letter, …), and what may be committed. Custodian is
// the thin shell around it: it reads the logs, carries actions out, and tells the
// machine what has become durable. How logs are read and written is left to the
// interfaces it is given.
//
// The rule under everything: first the new place is durable (retry log, dead
// letter, request), then the old one ends (end record, commit). A crash in
// between gives a repeat, never a loss.
package custody
