package directory

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// promises hold wherever the directory is kept. They begin with an empty Redis.
func promises() []promise {
	return []promise{
		{"ASessionIsFoundWithAllThatIsKnownOfIt", aSessionIsFoundWithAllThatIsKnownOfIt},
		{"AnotherServiceFindsTheNodeOfAUserWithHGET", anotherServiceFindsTheNodeOfAUserWithHGET},
		{"ClosingAnOldConnectionLeavesTheNewerOne", closingAnOldConnectionLeavesTheNewerOne},
		{"ANodeThatStartsAgainInvalidatesWhatItEnteredBefore", aNodeThatStartsAgainInvalidatesWhatItEnteredBefore},
		{"ALapseWhoseAnswerWasLostIsToldOfAgain", aLapseWhoseAnswerWasLostIsToldOfAgain},
		{"ANodeOutlivesARedisThatComesBackWithAnOlderSnapshot", aNodeOutlivesARedisThatComesBackWithAnOlderSnapshot},
		{"ManyUsersAreFoundInOneLookUp", manyUsersAreFoundInOneLookUp},
		{"SweepingLeavesNothingOfTheDeadAndEverythingOfTheLiving", sweepingLeavesNothingOfTheDeadAndEverythingOfTheLiving},
		{"WhatCannotBeReadIsNotOffline", whatCannotBeReadIsNotOffline},
		{"TheCensusNamesWhatIsEnteredAndWhatIsMissing", theCensusNamesWhatIsEnteredAndWhatIsMissing},
		{"ScriptsAreTaughtToAServerThatWasRestarted", scriptsAreTaughtToAServerThatWasRestarted},
		{"ANodeIsResolvedByNameAndByAddress", aNodeIsResolvedByNameAndByAddress},
		{"ANewerLifeKeepsItsName", aNewerLifeKeepsItsName},
	}
}

type promise struct {
	name string
	test func(*testing.T, *rig)
}

func TestOnTheEmbeddedServer(t *testing.T) { keep(t, embeddedRig(t, testConfig())) }

func TestOnRedis(t *testing.T) {
	if r, _, ok := realRig(t, testConfig()); ok {
		keep(t, r)
	}
}

func TestOnAClusterOfThreeMasters(t *testing.T) {
	if r, ok := clusterRig(t, testConfig()); ok {
		keep(t, r)
	}
}

func keep(t *testing.T, r *rig) {
	t.Helper()
	for _, p := range promises() {
		t.Run(p.name, func(t *testing.T) {
			require.NoError(t, r.flushAll())
			p.test(t, r)
		})
	}
}
