// Command pushgate is the whole platform: nodes, and the tools to work with them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"pushgate/internal/cli"
)

// version is set by the linker.
var version = "unknown"

func main() { os.Exit(run()) }

func run() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// Two signals that come close together are two: a handler that is taken off
	// after the first could swallow the second.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel() // an orderly end
		<-signals
		const interrupted = 130
		os.Exit(interrupted) //nolint:revive // now is now
	}()
	return cli.Run(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, version)
}
