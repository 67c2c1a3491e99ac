package directory

import (
	"testing"

	"go.uber.org/goleak"

	"pushgate/internal/directory/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, redistest.LateDial()) }
