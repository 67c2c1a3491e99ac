// Command wsecho is an echo server on package ws, for suites that find out from outside
// whether a server keeps to RFC 6455 and RFC 7692. It sends back each message as it came,
// compressed where the client takes that, and ends at the first interrupt.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"pushgate/internal/ws"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "wsecho:", err)
		os.Exit(1)
	}
}

// maxMessage is above the largest message of the Autobahn suite.
const maxMessage = 17 << 20

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("wsecho", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:9001", "address to listen on")
	cert := flags.String("tls-cert", "", "PEM file with the certificate; empty: no TLS")
	key := flags.String("tls-key", "", "PEM file with its key")
	limits := ws.DefaultLimits()
	limits.MaxFrameBytes, limits.MaxMessageBytes, limits.MaxBufferedBytes = maxMessage, maxMessage, 2*maxMessage
	limits.FlushOnClose = true
	flags.BoolVar(&limits.Deflate, "deflate", true, "take permessage-deflate when it is offered")
	flags.BoolVar(&limits.Portable, "portable", false, "a goroutine for each connection, as where there is no epoll")
	if err := flags.Parse(args); err != nil {
		return err //nolint:wrapcheck // it names the flag
	}
	server, err := ws.NewServer(ws.ServerParams{Limits: limits})
	if err != nil {
		return fmt.Errorf("making the server: %w", err)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", *listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	const header = 10 * time.Second
	front := &http.Server{ReadHeaderTimeout: header, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := server.Upgrade(w, r, ws.UpgradeParams{})
		if err == nil { // else it was answered
			c.Start(&peer{conn: c})
		}
	})}
	ended := make(chan error, 1)
	go func() {
		if *cert == "" {
			ended <- front.Serve(l)
		} else {
			ended <- front.ServeTLS(ws.Detachable(l), *cert, *key)
		}
	}()
	_, _ = fmt.Fprintln(out, "listening on", l.Addr())
	watch, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		err := <-ended
		stop()
		ended <- err
	}()
	if err := server.Run(watch); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	_ = front.Close()
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// peer sends back what it gets.
type peer struct{ conn *ws.Conn }

// OnMessage implements ws.Handler.
func (p *peer) OnMessage(op ws.Op, payload []byte) {
	frame := ws.AppendFrame(nil, op, payload)
	if p.conn.Window().Takes(frame) {
		frame = ws.Deflate(frame)
	}
	_ = p.conn.Send(&ws.Write{Frame: frame, Done: p}) // a client that does not read loses what it does not take
}

// OnClose implements ws.Handler.
func (*peer) OnClose(ws.Closed) {}

// Completed implements ws.Completer.
func (*peer) Completed(*ws.Write, error) {}
