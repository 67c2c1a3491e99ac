package deadletter

import (
	"context"
	"fmt"
	"strings"

	"pushgate/internal/operations"
)

// DiscardParams say what is to be discarded.
type DiscardParams struct {
	Choice
	// Why is for the record, and must be given.
	Why        string
	By         string
	Force      bool
	OnProgress func(operations.Operation)
}

func (p *DiscardParams) validate() error {
	if strings.TrimSpace(p.Why) == "" {
		return &FilterError{"discarding needs a reason: say why"}
	}
	const most = 500
	if len(p.Why) > most || len(p.By) > most {
		return &FilterError{fmt.Sprintf("who and why are longer than %d bytes: be brief", most)}
	}
	return p.Filter.Validate()
}

func (p *DiscardParams) judge(l *Letter) Skip {
	if p.Filter.State == Open && l.State != operations.Open {
		return SkipHandled
	}
	return ""
}

// Discard marks letters as handled, and records why. The letters stay where they are
// until their retention ends, and can still be replayed by their state. As Replay in
// all else.
func (s *Store) Discard(ctx context.Context, p DiscardParams) (operations.Operation, error) {
	if err := p.validate(); err != nil {
		return operations.Operation{}, err
	}
	var options map[string]string
	if p.Force {
		options = map[string]string{"force": "true"}
	}
	const most = 500
	return s.operate(ctx, work{
		choice: p.Choice,
		operation: operations.Operation{
			Kind: operations.Discard, By: p.By, Why: p.Why, Filter: p.words(), Options: options,
		},
		force: p.Force, onProgress: p.OnProgress, batch: most,
		judge: p.judge,
		begin: func(string) handler { return dropper{} },
	})
}

// dropper handles letters by doing nothing.
type dropper struct{}

func (dropper) handle(_ context.Context, batch []Letter) ([]error, error) {
	return make([]error, len(batch)), nil
}
