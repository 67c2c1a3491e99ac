// Package waiting shows operators what waits in the retry topic, and asks the
// custodians to release or discard it. It reads what a custodian that takes over
// would read: from the committed position of the custodians' group to the end,
// waits less ends.
//
// It decides nothing about a message. What is released or discarded is a command in
// the receipt topic; the custodian of the partition carries it out (package custody),
// and the end of the wait, in the retry topic, confirms it.
package waiting
