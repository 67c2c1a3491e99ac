// Package deadletter looks at messages that died: which, why, and their bytes as
// their producers wrote them. Who decides that a message dies is package custody;
// what a dead letter looks like is in package push.
package deadletter
