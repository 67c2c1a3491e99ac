// Package operations is the record of what operators did: who, when, with which
// filter, to how many, and what became of it; and, for dead letters, which of them
// are handled. It is kept in a topic of its own, so that every node and every
// command line sees the same.
//
// Partition 0 of the topic holds the operations, each as a chain of whole
// descriptions of which the last counts: what stands in one partition has one
// order, and that decides which of two operators came first. Partition p holds, in
// between, the offsets of dead-letter[p] that are handled.
//
// What an operation does is none of its business: see package deadletter.
package operations
