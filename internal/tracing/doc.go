// Package tracing makes OpenTelemetry spans of what becomes of traced messages, and
// sends them to a collector. It is the only user of OpenTelemetry. When something
// happens to a message is left to those it happens at: delivery, custody and targeted
// tell it, by interfaces of their own.
//
// A message is traced where its producer sampled it (header traceparent, W3C Trace
// Context), and else by chance, as far as the configuration says. Who follows it must
// come to the same answer, and name the same spans, without a word between them: a
// gateway and a custodian read the same record. So chance is a hash of the message,
// and the span of the custodian has an id that follows from where the record stands:
//
//	the producer's span
//	  pushgate.custody      one an offering, by its custodian: from accepted to its outcome, or until it waits
//	    pushgate.call       one a call of a gateway (targeted routing)
//	    pushgate.delivery   one an offering, by each gateway that holds the user: from read to acknowledged
//	    pushgate.dead_letter  the end of one that had waited
//
// An offering that follows a wait links to the one before. Spans are made when they
// end: what a custodian gives up in the middle is told by its successor alone.
package tracing
