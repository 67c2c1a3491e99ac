package e2e

import (
	"os"
	"strings"
	"testing"
	"time"
)

const (
	// extentVariable says how much of the reliability suite runs: table or soak;
	// else the short form.
	extentVariable = "PUSHGATE_E2E_RELIABILITY"
	// faultsVariable is a part of the names of the faults to run; empty: all.
	faultsVariable = "PUSHGATE_E2E_FAULTS"
	// routingVariable is the routing that the suite runs with; empty: broadcast.
	// With targeted, the directory has its faults, too.
	routingVariable = "PUSHGATE_E2E_ROUTING"
	// reportVariable names a file for its table.
	reportVariable = "PUSHGATE_E2E_REPORT"
)

func TestNothingIsLostWhateverFailsUnderLoad(t *testing.T) {
	switch os.Getenv(extentVariable) {
	case "table":
		everyFault(t)
	case "soak":
		soak(t)
	default:
		someFaults(t)
	}
}

func everyFault(t *testing.T) {
	r, ok := newRig(t, plan{
		gateways: 3, users: 1200, rate: 1200,
		calm: 8 * time.Second, down: 5 * time.Second, silence: 15 * time.Second,
		away: 8 * time.Second, patience: time.Minute,
	})
	if !ok {
		return
	}
	r.load()
	for _, f := range append([]fault{
		nothing(20 * time.Second),
		killGateways(0),
		killGateways(0, 1, 2),
		flapping(0),
		restartGateways(0, 1, 2),
		stopGateway(1),
		hiccups(1),
		stopGateways(),
		killBrokers(0, 1, 2),
		killMajority(),
		killBoth(0, 1),
		stopBroker(1),
		cut(),
		deafen(),
		slowClients(),
		vanishing(),
		restartEverything(),
	}, r.directoryFaults()...) {
		if strings.Contains(f.name, os.Getenv(faultsVariable)) {
			r.strike(f)
			report(t, r.table()...)
		}
	}
	r.complete()
}

func someFaults(t *testing.T) {
	r, ok := newRig(t, plan{
		gateways: 2, users: 200, rate: 300,
		calm: time.Second, down: 2 * time.Second, silence: 7 * time.Second,
		away: 2 * time.Second, patience: time.Minute,
	})
	if !ok {
		return
	}
	r.load()
	faults := []fault{killGateways(0), cut(), stopGateway(0), killBrokers(1), restartEverything()}
	for _, f := range append(faults, r.directoryFaults()...) {
		r.strike(f)
	}
	r.complete()
}
