// Package tlsconfig is what the configuration says about encryption, wherever it
// says it: the keys, what does not go together, and what is made of them. Whether a
// connection is encrypted, and under which key that is asked for, is left to those
// who open it.
package tlsconfig
