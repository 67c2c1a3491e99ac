package cli

import (
	"context"

	"pushgate/internal/app"
)

func (p *program) demo(context.Context, *app.Dev) error { return nil }
