// Package app is the composition root: it makes a node out of its parts, starts
// them in order and ends them in the opposite one. It is the only place that
// knows everyone; it decides nothing else. What the parts declare as interfaces
// and another part provides is adapted here.
package app
