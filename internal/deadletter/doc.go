// Package deadletter is what operators do with messages that died: search them, look
// at one, replay and discard them. Nothing is ever changed or taken out of the topic
// of dead letters; that a letter is handled stands in the topic of operations.
//
// Who decides that a message dies is package custody; what a dead letter and a replay
// look like is in package push; who did what is in package operations.
package deadletter
