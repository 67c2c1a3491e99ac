package push

// HeaderTraceState goes with HeaderTraceParent: what tracing systems add to it (W3C
// Trace Context). A message does not carry it; who follows a trace looks it up.
const HeaderTraceState = "tracestate"
