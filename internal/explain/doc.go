// Package explain tells the story of a user's messages, or of one message, out of
// the topics: who produced it where, which gateways had it, why it waited, who
// released it, what became of it. It reads the partitions and the time that the
// story needs, one record at a time, and says what it could not know.
//
// It believes nobody but the logs and changes nothing. What is wrong with a platform
// as a whole is told by package audit.
package explain
