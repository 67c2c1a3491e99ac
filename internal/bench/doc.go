// Package bench loads a deployment and says how it did: it connects many users,
// writes messages for them, and takes what arrives, each message with the time
// at which it was to be sent, so that a deployment that stalls cannot hide the
// messages it kept from being sent (coordinated omission).
//
// It knows neither Kafka nor sockets: those who write and those who connect are
// handed in. What the nodes have used it asks their metrics.
package bench
