// Package fleet is what the nodes of a deployment say of themselves: each writes a
// Report into a topic every few seconds (Reporter), and whoever reads the topic
// (View) knows all nodes without asking any: who is alive, what each has in custody,
// how far it lags, and how it all went during the last minutes.
//
// It leaves to others what a report says (internal/app gathers it), and what is done
// about a node that is silent: nothing here decides anything about messages. A node
// does its work whether or not it can report.
package fleet
