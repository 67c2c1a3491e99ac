package gateway_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheClientForBrowsersIsServedToEverybody(t *testing.T) {
	r := newRig(t)
	got := r.do(r.request(http.MethodGet, "/pushgate.js", http.NoBody))
	assert.Equal(t, http.StatusOK, got.status)
	assert.Equal(t, "text/javascript; charset=utf-8", got.header.Get("Content-Type"))
	assert.Contains(t, got.body, "pushgate.v1")
}
