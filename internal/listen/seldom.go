package listen

import (
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// FewHandshakes returns log for the ErrorLog of an http.Server: of TLS handshakes that
// failed, which anybody can bring about by the thousand, there is one line in ten seconds,
// with how many there were. All else is as it is.
func FewHandshakes(log *zap.Logger) *zap.Logger {
	few := &seldom{}
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return fewHandshakes{c, few} }))
}

type fewHandshakes struct {
	zapcore.Core

	few *seldom
}

// With implements zapcore.Core.
func (f fewHandshakes) With(fields []zapcore.Field) zapcore.Core {
	return fewHandshakes{f.Core.With(fields), f.few}
}

// Check implements zapcore.Core.
func (f fewHandshakes) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !strings.HasPrefix(entry.Message, "http: TLS handshake error") {
		return f.Core.Check(entry, checked)
	}
	count, now := f.few.now()
	if !now {
		return checked
	}
	return f.Core.With([]zapcore.Field{zap.Int("handshakes", count)}).Check(entry, checked)
}

// logEvery is how often what happens again and again is logged, at most.
const logEvery = 10 * time.Second

// seldom says when to log what may happen often. The zero value is ready. Safe for
// concurrent use.
type seldom struct {
	mu     sync.Mutex
	logged time.Time
	count  int // since then
}

// now counts, and says whether to log now, and how many there were since that was so.
func (s *seldom) now() (count int, now bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if !s.logged.IsZero() && time.Since(s.logged) < logEvery {
		return 0, false
	}
	count, s.logged, s.count = s.count, time.Now(), 0
	return count, true
}
