// Package repeats remembers which messages were delivered here lately, so that
// one that is offered again need not be written again. What to do with a repeat,
// and what counts as delivered, is left to package delivery.
package repeats
