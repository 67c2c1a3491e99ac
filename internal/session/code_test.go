package session_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/session"
	"pushgate/internal/ws"
)

func TestEveryCodeThePlatformSendsSaysWhatItMeans(t *testing.T) {
	const room = 123 // in a close frame
	seen := map[string]bool{}
	for _, c := range []ws.Code{
		session.CloseNormal, session.CloseGoElsewhere, session.ClosePolicy, session.CloseTooBig, session.CloseInternal,
		session.CloseTryLater, session.CloseTokenExpired, session.CloseReplaced,
	} {
		text := session.CodeText(c)
		assert.NotEmpty(t, text, c)
		assert.LessOrEqual(t, len(text), room, c)
		assert.False(t, seen[text], c)
		seen[text] = true
	}
	assert.Empty(t, session.CodeText(4999))
}

func TestAClientConnectsAgainAfterWhatPasses(t *testing.T) {
	for code, want := range map[ws.Code]bool{
		1001: true, 1006: true, 1011: true, 1013: true,
		1000: false, 1002: false, 1007: false, 1008: false, 1009: false, 4401: false, 4409: false, 3000: false,
	} {
		assert.Equal(t, want, session.ShouldReconnect(code), code)
	}
}

func TestASubprotocolIsFoundByItsName(t *testing.T) {
	for name, want := range map[string]session.Subprotocol{
		"pushgate.v1": session.Pushgate, "cloudevents.json": session.CloudEvents,
		"": session.Plain, "bearer.abc": session.Plain, "Pushgate.v1": session.Plain,
	} {
		assert.Equal(t, want, session.SubprotocolOf(name), name)
	}
	for _, name := range session.SubprotocolNames() {
		assert.Equal(t, name, session.SubprotocolOf(name).String())
	}
	assert.Equal(t, "none", session.Plain.String())
	assert.True(t, session.Pushgate.Acknowledges())
	assert.False(t, session.CloudEvents.Acknowledges())
	assert.False(t, session.Plain.Acknowledges())
}
