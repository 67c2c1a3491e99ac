package api_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/admin/api"
	"pushgate/internal/admin/api/apitest"
)

func TestTheDocumentIsAValidOne(t *testing.T) { apitest.New(t).Document(t) }

func TestWhatIsServedIsDocumentedAndWhatIsDocumentedIsServed(t *testing.T) {
	var served []string
	for _, route := range api.Routes() {
		served = append(served, route.Method+" "+route.Path)
	}
	slices.Sort(served)
	assert.Equal(t, served, apitest.New(t).Paths())
}
