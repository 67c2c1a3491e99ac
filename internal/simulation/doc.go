// Package simulation plays random histories of the whole delivery promise and
// checks what must hold in every one of them. The state machine of a partition
// (custody.Machine), the books of a gateway (ledger.Ledger), what is written into the
// logs and said in calls (package push), and who is called with what
// (targeted.Router) are the real ones. Logs, clocks, networks, the directory, clients,
// producers, and the shells that carry records from one to the other, are
// simulated, so that they can fail in every way there is.
//
// In some histories gateways read requests, in some they are called with them, and in
// some it is both, and changes; see ways.
//
// One seed is one history: nothing here asks a clock, and nothing depends on the
// order of goroutines or maps. A history goes on for a number of steps chosen at
// random; then the world heals, and runs until it is quiet. A promise that is
// broken is told as a short story of the message concerned.
//
// What the shells do around the machine and the ledger is written here once more,
// in the order in which internal/custody, internal/targeted and internal/delivery do it: that those
// really do it so is left to their own tests, and to e2e.
package simulation
